//! What the host survives: its own death at any moment, disks that fail, clocks that jump, absurd sizes.

mod kill;
mod full_disk;
mod failing_sync;
mod second_host;
mod clock;
mod absurd;
mod every_event;
