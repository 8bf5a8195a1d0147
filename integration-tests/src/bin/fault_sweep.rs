//! The fault sweep: every system call of a command, and of what it starts, fails once with each of eight errnos.
//!
//! `fault_sweep [--jobs N] [--every K] [--errno NAME,…] [--for-good] [--at POINT] [--verbose] [COMMAND…]`: exit status 1 unless all
//! of *hung*, *wrong*, *leaked*, *half*, *panicked* and *silent* are zero.
//!
//! * *hung*: not at its end after `DEADLINE`
//! * *wrong*: exit status 0, and what the command promises is not so. A created container is started, and what its program sees
//!   (ids, capabilities, limits, mounts, devices, cgroups, hooks) has to be what an undisturbed container's sees
//! * *leaked*: it has failed, and something is left that it has made; or it has not, and something is left once it is deleted
//! * *half*: it has failed, and what was there before is no longer as it was
//! * *panicked*, *silent*: it has failed without saying why
//!
//! A point is `runtime:openat:3`: who calls, what, and for which time; `runtime:openat` is each of them. `--for-good` lets every call of one name fail, as on a kernel
//! or under a filter that has none. `--every 10` tries one pair of point and errno in ten.
#![allow(clippy::print_stdout, reason = "it prints a table")]

#[cfg(not(all(target_arch = "x86_64", target_env = "gnu")))]
fn main() {
    println!("fault_sweep: only on x86_64 with glibc");
}

#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
fn main() -> std::process::ExitCode {
    sweep::main()
}

#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
#[path = "fault_sweep"]
mod sweep {
    mod foreseen;
    mod judge;
    mod options;
    mod subject;

    use judge::{Case, Finding};
    use nix::errno::Errno;
    use nix::sys::prctl::set_child_subreaper;
    use options::Options;
    use plimsoll_integration_tests::fault::{self, Point, Run, Which};
    use plimsoll_integration_tests::{cgroup, runtime, syscalls};
    use std::collections::{BTreeMap, HashSet};
    use std::io::{BufRead, BufReader};
    use std::process::{Command, ExitCode, Stdio};
    use std::time::{Duration, Instant};
    use subject::Subject;

    /// A thousand times what a command takes on a quiet machine: others may keep it busy.
    const DEADLINE: Duration = Duration::from_secs(20);

    const ERRNOS: &[Errno] = &[
        Errno::ENOSYS,
        Errno::EPERM,
        Errno::ENOMEM,
        Errno::EMFILE,
        Errno::ENOSPC,
        Errno::EINTR,
        Errno::EAGAIN,
        Errno::EIO,
    ];

    const COLUMNS: &[&str] = &[
        "calls", "faults", "failed", "went on", "unnamed", "foreseen", "hung", "wrong", "leaked", "half", "panicked",
        "silent",
    ];
    /// All from here on have to be zero.
    const BAD: usize = 6;

    pub(super) fn main() -> ExitCode {
        let options = Options::parse();
        if options.worker.is_some() {
            // Whoever is orphaned comes to us, and is waited for, and so counted.
            set_child_subreaper(true).expect("a subreaper");
            options.cases().for_each(|case| work(case, &options));
            return ExitCode::SUCCESS;
        }
        println!("{}, cgroup {}", runtime().version, if cgroup::is_v2() { "v2" } else { "v1" });
        print!("{:36}", "");
        COLUMNS.iter().for_each(|column| print!(" {column:>8}"));
        println!(" {:>8}", "seconds");
        let mut bad = 0;
        for case in options.cases() {
            bad += distribute(case, &options);
        }
        ExitCode::from(u8::from(bad > 0))
    }

    /// A process for each worker: who traces and adopts must have children of its own. How many findings there were.
    fn distribute(case: &Case, options: &Options) -> usize {
        let started = Instant::now();
        let spawn = |worker: usize| {
            let mut command = Command::new(std::env::current_exe().expect("procfs"));
            command.args(std::env::args().skip(1).filter(|word| !options.commands.contains(word)));
            command.args(["--worker", &worker.to_string()]).args(["--case", case.name]);
            command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().expect("ourselves")
        };
        let workers: Vec<_> = (0..options.jobs).map(spawn).collect();
        let mut sums = vec![0; COLUMNS.len()];
        let mut complete = true;
        for mut worker in workers {
            let mut summed = false;
            for line in BufReader::new(worker.stdout.take().expect("a pipe")).lines().map_while(Result::ok) {
                if let Some(numbers) = line.strip_prefix("sum ") {
                    let numbers = numbers.split(' ').filter_map(|number| number.parse::<usize>().ok());
                    sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
                    summed = true;
                } else {
                    println!("    {line}");
                }
            }
            complete &= summed && worker.wait().is_ok_and(|status| status.success());
        }
        // Every worker has counted the same calls.
        sums[0] /= options.jobs;
        print!("{:36}", case.name);
        sums.iter().for_each(|sum| print!(" {sum:>8}"));
        println!(" {:>8}", started.elapsed().as_secs());
        if !complete {
            println!("    {}: incomplete", case.name);
        }
        sums[BAD..].iter().sum::<usize>() + usize::from(!complete)
    }

    /// What falls to this worker.
    fn work(case: &'static Case, options: &Options) {
        let mut sums: BTreeMap<&str, usize> = BTreeMap::new();
        if let Some(mut subject) = Subject::new(case) {
            let faults = faults(&mut subject, options, &mut sums);
            for (which, errno) in faults {
                let named = match &which {
                    Which::One(point) => point.to_string(),
                    Which::All(number) => format!("every {}", syscalls::name(*number)),
                };
                let fault = (which, errno);
                let before = Instant::now();
                let (run, findings) = subject.try_with(&fault, DEADLINE);
                count(&run, &findings, &mut sums);
                for finding in findings {
                    if !finding.is_none() || options.verbose {
                        let Finding { kind, words } = finding;
                        println!("{}: {named} {errno:?}: {kind}: {words}", case.name);
                    }
                }
                if options.verbose {
                    let said = subject.said.lines().next().unwrap_or_default();
                    println!("{named} {errno:?}: {:?} in {:?}: {said}", run.status, before.elapsed());
                }
            }
        }
        let numbers: Vec<_> =
            COLUMNS.iter().map(|column| sums.get(column).copied().unwrap_or_default().to_string()).collect();
        println!("sum {}", numbers.join(" "));
    }

    fn count(run: &Run, findings: &[Finding], sums: &mut BTreeMap<&str, usize>) {
        if !run.injected {
            return;
        }
        let mut add = |column| *sums.entry(column).or_default() += 1;
        add("faults");
        match run.status {
            Some(0) => add("went on"),
            Some(_) => add("failed"),
            None => (),
        }
        let kinds: HashSet<_> = findings.iter().map(|finding| finding.kind).collect();
        kinds.into_iter().for_each(add);
    }

    /// `runtime:openat` stands for each of that name.
    fn is_called(point: &Point, at: &str) -> bool {
        let whole = point.to_string();
        whole == at || whole.rsplit_once(':').is_some_and(|(call, _)| call == at)
    }

    /// Pairs of point and errno, in turn for each worker.
    fn faults(subject: &mut Subject, options: &Options, sums: &mut BTreeMap<&str, usize>) -> Vec<(Which, Errno)> {
        let calls = subject.calls(DEADLINE);
        sums.insert("calls", calls.len());
        let points: Vec<Which> = if options.for_good {
            let mut seen = HashSet::new();
            calls.iter().map(|call| call.number).filter(|number| seen.insert(*number)).map(Which::All).collect()
        } else {
            let wanted = |point: &Point| options.at.as_ref().is_none_or(|at| is_called(point, at));
            calls.into_iter().filter(wanted).map(Which::One).collect()
        };
        let errnos: Vec<_> = ERRNOS.iter().filter(|errno| options.has_errno(**errno)).copied().collect();
        let pairs = points.iter().flat_map(|point| errnos.iter().map(|errno| (point.clone(), *errno)));
        let pairs = pairs.filter(|(which, errno)| fault::may_say(which, *errno));
        let mine = pairs.step_by(options.every).enumerate();
        mine.filter(|(index, _)| Some(index % options.jobs) == options.worker).map(|(_, pair)| pair).collect()
    }
}
