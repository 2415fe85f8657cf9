//! Files: placeholder until formats land.
