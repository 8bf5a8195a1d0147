//! Where runc and crun, in the versions of Debian 12, are known not to do what a test asks for.
use crate::runtime;

const RUNC: &str = "runc version 1.1.";
const CRUN: &str = "crun version 1.8.";

/// (start of `--version`, test, reason)
const KNOWN: &[(&str, &str, &str)] = &[
    (RUNC, "advisories::cve_2026_41579_a_symlink_as_dev_does_not_leave_the_root_filesystem", "is vulnerable"),
    (RUNC, "cgroup::a_cgroup_that_is_busy_is_not_taken_over", "only warns; refuses since 1.2"),
    (RUNC, "errors::a_mapping_without_a_user_namespace", "ignores it"),
    (RUNC, "errors::a_path_that_masks_must_be_absolute", "takes any"),
    (RUNC, "errors::a_zero_byte_in_a_string", "is caught by execve only"),
    (RUNC, "hooks::they_are_told_the_state", "poststart hears `created`"),
    (RUNC, "hooks::they_run_in_the_order_of_the_lifecycle", "poststart runs at create, until 1.5"),
    (RUNC, "hostname::a_domainname_is_set", "since 1.1.6"),
    (RUNC, "id_mappings::a_joined_user_namespace_is_the_others", "wants mappings all the same"),
    (RUNC, "lifecycle::delete_takes_an_expression_for_many", "no such flag"),
    (RUNC, "mounts::the_directory_above_the_cgroup_hierarchies_is_read_only_too", "leaves its tmpfs writable"),
    (RUNC, "namespaces::a_time_namespace_has_its_offsets", "no time namespaces before 1.2"),
    (RUNC, "notify::a_container_that_ends_first_keeps_nobody_waiting", "waits for ever"),
    (
        RUNC,
        "notify::a_detached_run_returns_when_the_container_is_ready",
        "wants READY= at the beginning of the message",
    ),
    (
        RUNC,
        "notify::start_tells_that_the_container_is_ready_and_who_it_is",
        "wants READY= at the beginning of the message",
    ),
    (RUNC, "process::a_directory_is_refused_at_create", "says `permission denied`"),
    (RUNC, "rlimits::one_that_is_named_twice_is_an_error", "takes the last one"),
    (
        RUNC,
        "rootless::without_permission_a_group_that_nobody_asked_for_is_left_out_unless_the_flag_says_otherwise",
        "takes it for a hint",
    ),
    (RUNC, "root::propagation_is_as_asked_for", "sets it before pivot_root, on the host's root"),
    (RUNC, "statuses::creating", "nothing is known of a container before its hooks have run"),
    (RUNC, "update::a_limit_on_a_device", "ignores it"),
    (RUNC, "update::idle_and_burst", "since 1.1.10 and 1.2"),
    (RUNC, "user::exec_refuses_what_is_not_a_user", "cuts a uid to 32 bits"),
    (CRUN, "advisories::cve_2019_16884_nothing_but_proc_is_mounted_on_proc", "allows it"),
    (CRUN, "advisories::cve_2026_41579_a_symlink_as_dev_does_not_leave_the_root_filesystem", "is vulnerable"),
    (
        CRUN,
        "capabilities::exec_with_one_more_does_not_make_it_inheritable",
        "takes it instead of those of the container",
    ),
    (CRUN, "cgroup::a_cgroup_that_is_busy_is_not_taken_over", "joins it"),
    (CRUN, "cgroup::a_pids_limit_of_minus_one_is_none", "writes -1"),
    (CRUN, "cgroup::a_value_that_the_kernel_refuses_is_an_error", "leaves the cgroups behind"),
    (CRUN, "descriptors::preserving_what_is_not_open_is_an_error", "does not look"),
    (CRUN, "errors::a_mapping_without_a_user_namespace", "ignores it"),
    (CRUN, "errors::a_path_that_masks_must_be_absolute", "takes any"),
    (CRUN, "errors::a_relative_cwd", "is relative to the root"),
    (CRUN, "errors::a_strange_id_is_not_followed_by_delete", "removes the directory it leads to"),
    (CRUN, "errors::a_wrong_json_type", "takes text for a number"),
    (CRUN, "errors::a_zero_byte_in_a_string", "cuts the string there"),
    (CRUN, "errors::an_id_that_is_a_path", "allows an absolute one"),
    (CRUN, "errors::no_program", "waits for start to say so"),
    (CRUN, "events::an_interval_of_nothing_is_refused", "no such command"),
    (CRUN, "events::running_out_of_memory_is_told", "no such command"),
    (CRUN, "events::stats_are_one_line_of_json", "no such command"),
    (CRUN, "events::stats_have_runcs_keys", "no such command"),
    (CRUN, "events::usage_comes_at_every_interval_until_the_container_ends", "no such command"),
    (CRUN, "exec::the_environment_is_the_containers_and_more", "only what its flags say"),
    (CRUN, "exec::without_a_flag_cwd_is_the_containers", "the root directory"),
    (CRUN, "hooks::they_are_told_the_state", "`created` before it is"),
    (CRUN, "lifecycle::an_unknown_signal_is_refused", "sends signal 0 and succeeds"),
    (CRUN, "lifecycle::features_are_json", "no such command before 1.8.6"),
    (CRUN, "lifecycle::kill_takes_a_name_in_small_letters", "sends signal 0 and succeeds"),
    (CRUN, "lifecycle::ps_passes_its_arguments_on", "takes none"),
    (CRUN, "lifecycle::resume_is_for_paused_containers", "succeeds on a running one"),
    (CRUN, "lifecycle::run_with_keep_leaves_it_to_be_deleted", "no such flag before 1.9"),
    (CRUN, "lifecycle::state_has_the_absolute_path_of_the_root_filesystem", "as config.json has it"),
    (CRUN, "mounts::a_target_behind_a_dangling_symlink_is_made_inside_the_root_filesystem", "refuses it"),
    (CRUN, "mounts::options_that_set_and_clear_take_the_last_word", "`rw` does not undo `ro`"),
    (CRUN, "mounts::propagation_is_as_asked_for", "makes all of them private afterwards"),
    (CRUN, "mounts::the_directory_above_the_cgroup_hierarchies_is_read_only_too", "leaves its tmpfs writable"),
    (CRUN, "namespaces::a_time_namespace_has_its_offsets", "fails without a user namespace"),
    (CRUN, "namespaces::a_type_twice_is_refused", "takes the last one"),
    (CRUN, "no_new_privileges::exec_has_it_too", "exec takes only what its flags say"),
    (CRUN, "notify::start_tells_that_the_container_is_ready_and_who_it_is", "tells no pid"),
    (CRUN, "oom_score_adj::exec_has_it_too", "exec takes only what its flags say"),
    (CRUN, "readonly_paths::a_path_inside_a_mount_keeps_the_flags_of_that_mount", "clears nosuid, nodev, noexec"),
    (CRUN, "rlimits::exec_has_them_too", "exec takes only what its flags say"),
    (CRUN, "rlimits::one_that_is_named_twice_is_an_error", "takes the last one"),
    (
        CRUN,
        "rootless::without_permission_a_group_that_nobody_asked_for_is_left_out_unless_the_flag_says_otherwise",
        "reads it and forgets it",
    ),
    (CRUN, "rootless::the_config_that_spec_writes_runs", "writes no mappings"),
    (CRUN, "seccomp::a_call_newer_than_the_profile_is_enosys_and_not_eperm", "is EPERM"),
    (CRUN, "statuses::created", "resumes what is not paused, and words of its own"),
    (CRUN, "statuses::creating", "nothing is known of a container before its hooks have run"),
    (CRUN, "statuses::missing", "words of its own"),
    (CRUN, "statuses::paused", "pauses it again, and words of its own"),
    (CRUN, "statuses::running", "resumes what is not paused, and words of its own"),
    (CRUN, "statuses::stopped", "updates it, ps crashes, and words of its own"),
    (CRUN, "terminal::a_socket_without_a_terminal_is_refused", "ignores it"),
    (CRUN, "terminal::a_change_of_size_is_passed_on", "loses it"),
    (CRUN, "terminal::the_size_is_that_of_the_callers", "none until it changes"),
    (CRUN, "update::devices_stay_as_they_are", "changes them"),
    (CRUN, "update::idle_and_burst", "no such flags"),
    (CRUN, "update::memory", "takes no suffix"),
    (CRUN, "update::pids", "writes -1"),
    (CRUN, "update::unlimited_memory_and_swap_again", "takes no suffix"),
    (CRUN, "user::exec_as_a_uid_alone_keeps_the_group", "group 0"),
    (CRUN, "user::exec_is_the_containers_user_or_another", "root, unless a flag says so"),
    (CRUN, "user::exec_refuses_what_is_not_a_user", "cuts a uid to 32 bits"),
];

/// Is the test that calls it known not to hold for this runtime? It then returns at once.
///
/// `DEVIATIONS=run` runs those tests all the same: each must fail, or its row is a lie.
#[expect(clippy::print_stderr, reason = "for whoever reads the output of the tests")]
pub fn known_deviation() -> bool {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    let row = KNOWN.iter().find(|(version, name, _)| runtime().version.starts_with(version) && *name == test);
    if let Some((version, _, reason)) = row {
        eprintln!("not asked of {version}: {reason}");
    }
    row.is_some() && std::env::var_os("DEVIATIONS").is_none()
}
