#compdef plimsoll
# made by `plimsoll completion zsh`
_plimsoll_ids() {
    compadd -- ${(f)"$(plimsoll list --quiet 2>/dev/null)"}
}
_plimsoll() {
    local -a commands
    commands=(
        'check:tell every problem of a bundle at once'
        'checkpoint:save a running container to disk with CRIU'
        'create:create a container'
        'delete:delete everything that a stopped container holds'
        'events:print resource usage and out-of-memory events'
        'exec:run another process in a container'
        'kill:send a signal to a container (default: SIGTERM)'
        'list:list containers'
        'mounts:add mounts to a running container, or remove them again'
        'pause:freeze every process of a container'
        'plan:print what create (or exec) would do, line by line'
        'ps:list the processes of a container'
        'restore:start a container from a checkpoint'
        'resume:let a paused container run on'
        'run:create and start a container, wait for it and delete it'
        'spec:write a config.json to start from'
        'start:run the program of a created container'
        'state:print the state of a container'
        'trace:draw what --trace has written'
        'update:change the limits of a container'
        'features:print what this runtime can do, as JSON'
    )
    _arguments -C \
        '--root[where the state of containers is kept (default\: /run/plimsoll)]:directory:_files -/' \
        '--log[append errors and warnings to FILE, or journald\:NAME or syslog\:NAME (default\: standard error)]:file:_files' \
        '--log-format[format of the log (default\: text)]:choice:(text json)' \
        '--log-level[how much to log (default\: warning)]:choice:(error warning info debug)' \
        '--debug[log everything, as --log-level debug does]' \
        '--systemd-cgroup[make cgroups through systemd; cgroupsPath is then slice\:prefix\:name]' \
        '--cgroup-manager[who makes the cgroups (default\: cgroupfs)]:choice:(cgroupfs systemd disabled)' \
        '--rootless[ignore missing permissions on cgroups (default\: auto)]:choice:(true false auto)' \
        '1:command:{_describe command commands}' \
        '*::argument:->arguments'
    case $words[1] in
        check)
        _arguments \
        '-b[the bundle'\''s directory (default\: the current one)]:directory:_files -/' \
        '--bundle[the bundle'\''s directory (default\: the current one)]:directory:_files -/' \
        '--json[print an array of objects with concern, pointer and message]' \
        '--facts[check for the host that this file describes (plimsoll plan --show-facts)]:file:_files' \
        '1: :' '*:argument:_files' ;;
        checkpoint)
        _arguments \
        '--image-path[where to save the images (default\: ./checkpoint)]:directory:_files -/' \
        '--work-path[where CRIU writes its log and work files]:directory:_files -/' \
        '--parent-path[images of an earlier --pre-dump, relative to --image-path]:directory:_files -/' \
        '--leave-running[let the container run on]' \
        '--tcp-established[allow open TCP connections]' \
        '--tcp-skip-in-flight[skip TCP connections that are being made]' \
        '--link-remap[link deleted files back where possible]' \
        '--ext-unix-sk[allow Unix sockets connected to the outside]' \
        '--shell-job[allow a terminal of the outside]' \
        '--lazy-pages[leave memory behind, to be fetched while the restored container runs]' \
        '--status-fd[CRIU writes a zero byte to FD when --lazy-pages is ready]:value: ' \
        '--page-server[send the memory to a page server]:value: ' \
        '--file-locks[allow file locks]' \
        '--pre-dump[save the memory only and let the container run on]' \
        '--manage-cgroups-mode[how CRIU treats cgroups (default\: soft)]:choice:(soft full strict ignore)' \
        '--network-lock[how CRIU stops the network\: iptables, nftables or skip]:value: ' \
        '*--empty-ns[make the namespace, but do not restore its contents]:value: ' \
        '--auto-dedup[drop pages from older images]' \
        '1:container:_plimsoll_ids' '*:argument:_files' ;;
        create)
        _arguments \
        '-b[the bundle'\''s directory (default\: the current one)]:directory:_files -/' \
        '--bundle[the bundle'\''s directory (default\: the current one)]:directory:_files -/' \
        '-f[read this file instead of the bundle'\''s config.json]:file:_files' \
        '--config[read this file instead of the bundle'\''s config.json]:file:_files' \
        '--console-socket[Unix socket that gets the master of the container'\''s terminal]:file:_files' \
        '--pidfd-socket[Unix socket that gets a pidfd of the process]:file:_files' \
        '--pid-file[write the process id to FILE]:file:_files' \
        '--no-pivot[no pivot_root(2)\: for a root filesystem on a ramdisk]' \
        '--no-new-keyring[keep the caller'\''s session keyring]' \
        '--preserve-fds[pass on N descriptors, from 3 on ($LISTEN_FDS come first)]:value: ' \
        '--trace[write a trace of what takes how long, for Perfetto or `plimsoll trace`]:file:_files' \
        '1: :' '*:argument:_files' ;;
        delete)
        _arguments \
        '-f[kill the container first (SIGKILL); no error if there is none]' \
        '--force[kill the container first (SIGKILL); no error if there is none]' \
        '-r[the id is a regular expression (POSIX, extended)\: delete every container that matches]' \
        '--regex[the id is a regular expression (POSIX, extended)\: delete every container that matches]' \
        '1:container:_plimsoll_ids' '*:argument:_files' ;;
        events)
        _arguments \
        '--interval[time between two lines of usage (default\: 5s)]:value: ' \
        '--stats[print the usage once]' \
        '1:container:_plimsoll_ids' '*:argument:_files' ;;
        exec)
        _arguments \
        '--console-socket[Unix socket that gets the master of the container'\''s terminal]:file:_files' \
        '--pidfd-socket[Unix socket that gets a pidfd of the process]:file:_files' \
        '--cwd[working directory in the container]:directory:_files -/' \
        '*-e[add to the environment]:value: ' \
        '*--env[add to the environment]:value: ' \
        '-t[give the process a terminal]' \
        '--tty[give the process a terminal]' \
        '-u[run as this user]:value: ' \
        '--user[run as this user]:value: ' \
        '*-g[add a group]:value: ' \
        '*--additional-gids[add a group]:value: ' \
        '-p[take the whole process from a JSON file]:file:_files' \
        '--process[take the whole process from a JSON file]:file:_files' \
        '-d[return as soon as the process runs]' \
        '--detach[return as soon as the process runs]' \
        '--pid-file[write the process id to FILE]:file:_files' \
        '--process-label[SELinux label of the process]:value: ' \
        '--apparmor[AppArmor profile of the process]:value: ' \
        '--no-new-privs[set no_new_privs]' \
        '*-c[add a capability to the bounding, permitted and effective sets]:value: ' \
        '*--cap[add a capability to the bounding, permitted and effective sets]:value: ' \
        '--preserve-fds[pass on N descriptors, from 3 on ($LISTEN_FDS come first)]:value: ' \
        '*--cgroup[run in a cgroup below the container'\''s own]:value: ' \
        '--ignore-paused[run the process in a paused container too; it waits for `resume`]' \
        '--trace[write a trace of what takes how long, for Perfetto or `plimsoll trace`]:file:_files' \
        '1:container:_plimsoll_ids' '*:argument:_files' ;;
        kill)
        _arguments \
        '-a[signal every process of the container; no error if none is left]' \
        '--all[signal every process of the container; no error if none is left]' \
        '-r[the id is a regular expression (POSIX, extended)\: signal every container that matches]' \
        '--regex[the id is a regular expression (POSIX, extended)\: signal every container that matches]' \
        '1:container:_plimsoll_ids' '*:argument:_files' ;;
        list)
        _arguments \
        '-f[how to print (default\: table)]:choice:(table json)' \
        '--format[how to print (default\: table)]:choice:(table json)' \
        '-q[print ids only]' \
        '--quiet[print ids only]' \
        '1: :' '*:argument:_files' ;;
        mounts)
        _arguments \
        '1: :' '*:argument:_files' ;;
        pause)
        _arguments \
        '1:container:_plimsoll_ids' '*:argument:_files' ;;
        plan)
        _arguments \
        '-b[the bundle'\''s directory (default\: the current one)]:directory:_files -/' \
        '--bundle[the bundle'\''s directory (default\: the current one)]:directory:_files -/' \
        '-f[how to print (default\: text)]:choice:(text json)' \
        '--format[how to print (default\: text)]:choice:(text json)' \
        '--exec[plan `exec --process FILE` instead of `create`]:file:_files' \
        '--facts[plan for the host that this file describes (default\: this one)]:file:_files' \
        '--show-facts[print the host'\''s facts instead, for --facts]' \
        '--show-env[print the values of the environment, which may be secrets]' \
        '--id[the container'\''s id, which names its cgroup (default\: ID)]:value: ' \
        '--no-pivot[no pivot_root(2)\: for a root filesystem on a ramdisk]' \
        '--no-new-keyring[keep the caller'\''s session keyring]' \
        '--preserve-fds[pass on N descriptors, from 3 on ($LISTEN_FDS come first)]:value: ' \
        '1: :' '*:argument:_files' ;;
        ps)
        _arguments \
        '-f[how to print (default\: table)]:choice:(table json)' \
        '--format[how to print (default\: table)]:choice:(table json)' \
        '1:container:_plimsoll_ids' '*:argument:_files' ;;
        restore)
        _arguments \
        '--console-socket[Unix socket that gets the master of the container'\''s terminal]:file:_files' \
        '--image-path[where the images are (default\: ./checkpoint)]:directory:_files -/' \
        '--work-path[where CRIU writes its log and work files]:directory:_files -/' \
        '--parent-path[images of an earlier --pre-dump, relative to --image-path]:directory:_files -/' \
        '--tcp-established[allow open TCP connections]' \
        '--tcp-close[restore TCP connections as closed ones]' \
        '--ext-unix-sk[allow Unix sockets connected to the outside]' \
        '--shell-job[allow a terminal of the outside]' \
        '--file-locks[allow file locks]' \
        '--manage-cgroups-mode[how CRIU treats cgroups (default\: soft)]:choice:(soft full strict ignore)' \
        '--network-lock[how CRIU stopped the network\: iptables, nftables or skip]:value: ' \
        '-b[the bundle'\''s directory (default\: the current one)]:directory:_files -/' \
        '--bundle[the bundle'\''s directory (default\: the current one)]:directory:_files -/' \
        '-f[read this file instead of the bundle'\''s config.json]:file:_files' \
        '--config[read this file instead of the bundle'\''s config.json]:file:_files' \
        '-d[return as soon as the process runs]' \
        '--detach[return as soon as the process runs]' \
        '--pid-file[write the process id to FILE]:file:_files' \
        '--pidfd-socket[Unix socket that gets a pidfd of the process]:file:_files' \
        '--no-subreaper[do not adopt orphans of the container]' \
        '--no-pivot[no pivot_root(2)\: for a root filesystem on a ramdisk]' \
        '--no-new-keyring[keep the caller'\''s session keyring]' \
        '--trace[write a trace of what takes how long, for Perfetto or `plimsoll trace`]:file:_files' \
        '*--empty-ns[make the namespace, but do not restore its contents]:value: ' \
        '--auto-dedup[drop pages from older images]' \
        '--lazy-pages[fetch memory while the container runs]' \
        '--lsm-profile[restore under this profile of the security module]:value: ' \
        '--lsm-mount-context[restore mounts with this context]:value: ' \
        '1: :' '*:argument:_files' ;;
        resume)
        _arguments \
        '1:container:_plimsoll_ids' '*:argument:_files' ;;
        run)
        _arguments \
        '-b[the bundle'\''s directory (default\: the current one)]:directory:_files -/' \
        '--bundle[the bundle'\''s directory (default\: the current one)]:directory:_files -/' \
        '-f[read this file instead of the bundle'\''s config.json]:file:_files' \
        '--config[read this file instead of the bundle'\''s config.json]:file:_files' \
        '--console-socket[Unix socket that gets the master of the container'\''s terminal]:file:_files' \
        '--pidfd-socket[Unix socket that gets a pidfd of the process]:file:_files' \
        '-d[return as soon as the process runs]' \
        '--detach[return as soon as the process runs]' \
        '--keep[do not delete the container when it has ended]' \
        '--pid-file[write the process id to FILE]:file:_files' \
        '--no-subreaper[do not adopt orphans of the container]' \
        '--no-pivot[no pivot_root(2)\: for a root filesystem on a ramdisk]' \
        '--no-new-keyring[keep the caller'\''s session keyring]' \
        '--preserve-fds[pass on N descriptors, from 3 on ($LISTEN_FDS come first)]:value: ' \
        '--trace[write a trace of what takes how long, for Perfetto or `plimsoll trace`]:file:_files' \
        '1: :' '*:argument:_files' ;;
        spec)
        _arguments \
        '-b[where to write it (default\: the current directory)]:directory:_files -/' \
        '--bundle[where to write it (default\: the current directory)]:directory:_files -/' \
        '-f[the file'\''s name (default\: config.json)]:file:_files' \
        '--file[the file'\''s name (default\: config.json)]:file:_files' \
        '--rootless[for an ordinary user]' \
        '1: :' '*:argument:_files' ;;
        start)
        _arguments \
        '--trace[write a trace of what takes how long, for Perfetto or `plimsoll trace`]:file:_files' \
        '1:container:_plimsoll_ids' '*:argument:_files' ;;
        state)
        _arguments \
        '1:container:_plimsoll_ids' '*:argument:_files' ;;
        trace)
        _arguments \
        '--svg[draw a timeline instead of printing a table]:file:_files' \
        '1: :' '*:argument:_files' ;;
        update)
        _arguments \
        '-r[read them from a JSON file, or from standard input (-)]:file:_files' \
        '--resources[read them from a JSON file, or from standard input (-)]:file:_files' \
        '--blkio-weight[weight of block I/O, 10 to 1000]:value: ' \
        '--cpu-period[period of the processor quota]:value: ' \
        '--cpu-quota[processor time in a period]:value: ' \
        '--cpu-burst[unused processor time that may be saved up]:value: ' \
        '--cpu-share[weight of processor time]:value: ' \
        '--cpu-rt-period[period of realtime processor time]:value: ' \
        '--cpu-rt-runtime[realtime processor time in a period]:value: ' \
        '--cpuset-cpus[processors to use]:value: ' \
        '--cpuset-mems[memory nodes to use]:value: ' \
        '--memory[memory limit]:value: ' \
        '--cpu-idle[run only when nothing else wants the processor]:choice:(0 1)' \
        '--memory-reservation[memory that reclaim spares]:value: ' \
        '--memory-swap[limit of memory and swap together]:value: ' \
        '--pids-limit[number of processes]:value: ' \
        '--l3-cache-schema[Intel RDT\: share of the L3 cache]:value: ' \
        '--mem-bw-schema[Intel RDT\: share of the memory bandwidth]:value: ' \
        '1:container:_plimsoll_ids' '*:argument:_files' ;;
        features)
        _arguments \
        '1: :' '*:argument:_files' ;;
    esac
}
_plimsoll "$@"
