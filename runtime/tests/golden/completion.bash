# bash completion for plimsoll, made by `plimsoll completion bash`
_plimsoll() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command= root=() flags i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            --root) root=(--root "${COMP_WORDS[i+1]}"); ((i++)) ;;
            --log|--log-format|--log-level|--cgroup-manager|--rootless) ((i++)) ;;
            -*) ;;
            *) command=${COMP_WORDS[i]}; break ;;
        esac
    done
    case $before in
        --root) mapfile -t COMPREPLY < <(compgen -d -- "$word"); return ;;
        --log) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
        --log-format) mapfile -t COMPREPLY < <(compgen -W 'text json' -- "$word"); return ;;
        --log-level) mapfile -t COMPREPLY < <(compgen -W 'error warning info debug' -- "$word"); return ;;
        --cgroup-manager) mapfile -t COMPREPLY < <(compgen -W 'cgroupfs systemd disabled' -- "$word"); return ;;
        --rootless) mapfile -t COMPREPLY < <(compgen -W 'true false auto' -- "$word"); return ;;
        --bundle) mapfile -t COMPREPLY < <(compgen -d -- "$word"); return ;;
        --facts) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
        --image-path) mapfile -t COMPREPLY < <(compgen -d -- "$word"); return ;;
        --work-path) mapfile -t COMPREPLY < <(compgen -d -- "$word"); return ;;
        --parent-path) mapfile -t COMPREPLY < <(compgen -d -- "$word"); return ;;
        --status-fd) mapfile -t COMPREPLY < <(true); return ;;
        --page-server) mapfile -t COMPREPLY < <(true); return ;;
        --manage-cgroups-mode) mapfile -t COMPREPLY < <(compgen -W 'soft full strict ignore' -- "$word"); return ;;
        --network-lock) mapfile -t COMPREPLY < <(true); return ;;
        --empty-ns) mapfile -t COMPREPLY < <(true); return ;;
        --config) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
        --console-socket) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
        --pidfd-socket) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
        --pid-file) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
        --preserve-fds) mapfile -t COMPREPLY < <(true); return ;;
        --trace) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
        --interval) mapfile -t COMPREPLY < <(true); return ;;
        --cwd) mapfile -t COMPREPLY < <(compgen -d -- "$word"); return ;;
        --env) mapfile -t COMPREPLY < <(true); return ;;
        --user) mapfile -t COMPREPLY < <(true); return ;;
        --additional-gids) mapfile -t COMPREPLY < <(true); return ;;
        --process) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
        --process-label) mapfile -t COMPREPLY < <(true); return ;;
        --apparmor) mapfile -t COMPREPLY < <(true); return ;;
        --cap) mapfile -t COMPREPLY < <(true); return ;;
        --cgroup) mapfile -t COMPREPLY < <(true); return ;;
        --exec) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
        --id) mapfile -t COMPREPLY < <(true); return ;;
        --lsm-profile) mapfile -t COMPREPLY < <(true); return ;;
        --lsm-mount-context) mapfile -t COMPREPLY < <(true); return ;;
        --file) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
        --svg) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
        --resources) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
        --blkio-weight) mapfile -t COMPREPLY < <(true); return ;;
        --cpu-period) mapfile -t COMPREPLY < <(true); return ;;
        --cpu-quota) mapfile -t COMPREPLY < <(true); return ;;
        --cpu-burst) mapfile -t COMPREPLY < <(true); return ;;
        --cpu-share) mapfile -t COMPREPLY < <(true); return ;;
        --cpu-rt-period) mapfile -t COMPREPLY < <(true); return ;;
        --cpu-rt-runtime) mapfile -t COMPREPLY < <(true); return ;;
        --cpuset-cpus) mapfile -t COMPREPLY < <(true); return ;;
        --cpuset-mems) mapfile -t COMPREPLY < <(true); return ;;
        --memory) mapfile -t COMPREPLY < <(true); return ;;
        --cpu-idle) mapfile -t COMPREPLY < <(compgen -W '0 1' -- "$word"); return ;;
        --memory-reservation) mapfile -t COMPREPLY < <(true); return ;;
        --memory-swap) mapfile -t COMPREPLY < <(true); return ;;
        --pids-limit) mapfile -t COMPREPLY < <(true); return ;;
        --l3-cache-schema) mapfile -t COMPREPLY < <(true); return ;;
        --mem-bw-schema) mapfile -t COMPREPLY < <(true); return ;;
    esac
    case $command in
        '') flags='check checkpoint create delete events exec kill list mounts pause plan ps restore resume run spec start state trace update features --root --log --log-format --log-level --debug --systemd-cgroup --cgroup-manager --rootless --help --version' ;;
        check) flags="--bundle --json --facts --help" ;;
        checkpoint) flags="--image-path --work-path --parent-path --leave-running --tcp-established --tcp-skip-in-flight --link-remap --ext-unix-sk --shell-job --lazy-pages --status-fd --page-server --file-locks --pre-dump --manage-cgroups-mode --network-lock --empty-ns --auto-dedup --help $(plimsoll "${root[@]}" list --quiet 2>/dev/null)" ;;
        create) flags="--bundle --config --console-socket --pidfd-socket --pid-file --no-pivot --no-new-keyring --preserve-fds --trace --help" ;;
        delete) flags="--force --regex --help $(plimsoll "${root[@]}" list --quiet 2>/dev/null)" ;;
        events) flags="--interval --stats --help $(plimsoll "${root[@]}" list --quiet 2>/dev/null)" ;;
        exec) flags="--console-socket --pidfd-socket --cwd --env --tty --user --additional-gids --process --detach --pid-file --process-label --apparmor --no-new-privs --cap --preserve-fds --cgroup --ignore-paused --trace --help $(plimsoll "${root[@]}" list --quiet 2>/dev/null)" ;;
        kill) flags="--all --regex --help $(plimsoll "${root[@]}" list --quiet 2>/dev/null)" ;;
        list) flags="--format --quiet --help" ;;
        mounts) flags=" --help" ;;
        pause) flags=" --help $(plimsoll "${root[@]}" list --quiet 2>/dev/null)" ;;
        plan) flags="--bundle --format --exec --facts --show-facts --show-env --id --no-pivot --no-new-keyring --preserve-fds --help" ;;
        ps) flags="--format --help $(plimsoll "${root[@]}" list --quiet 2>/dev/null)" ;;
        restore) flags="--console-socket --image-path --work-path --parent-path --tcp-established --tcp-close --ext-unix-sk --shell-job --file-locks --manage-cgroups-mode --network-lock --bundle --config --detach --pid-file --pidfd-socket --no-subreaper --no-pivot --no-new-keyring --trace --empty-ns --auto-dedup --lazy-pages --lsm-profile --lsm-mount-context --help" ;;
        resume) flags=" --help $(plimsoll "${root[@]}" list --quiet 2>/dev/null)" ;;
        run) flags="--bundle --config --console-socket --pidfd-socket --detach --keep --pid-file --no-subreaper --no-pivot --no-new-keyring --preserve-fds --trace --help" ;;
        spec) flags="--bundle --file --rootless --help" ;;
        start) flags="--trace --help $(plimsoll "${root[@]}" list --quiet 2>/dev/null)" ;;
        state) flags=" --help $(plimsoll "${root[@]}" list --quiet 2>/dev/null)" ;;
        trace) flags="--svg --help" ;;
        update) flags="--resources --blkio-weight --cpu-period --cpu-quota --cpu-burst --cpu-share --cpu-rt-period --cpu-rt-runtime --cpuset-cpus --cpuset-mems --memory --cpu-idle --memory-reservation --memory-swap --pids-limit --l3-cache-schema --mem-bw-schema --help $(plimsoll "${root[@]}" list --quiet 2>/dev/null)" ;;
        features) flags=" --help" ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$word")
}
complete -F _plimsoll plimsoll
