//! The command lazuli: evaluate and explain array expressions.
