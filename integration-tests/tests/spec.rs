//! What a runtime does with each heading of the runtime specification, and with each command line.
mod capabilities;
mod cgroup;
mod devices;
mod hostname;
mod lifecycle;
mod masked_paths;
mod mounts;
mod namespaces;
mod no_new_privileges;
mod oom_score_adj;
mod process;
mod readonly_paths;
mod rlimits;
mod root;
mod sysctl;
mod user;
