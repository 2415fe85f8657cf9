//! The engine of Lazuli: configuration, plans, caches, the executor, explain.
