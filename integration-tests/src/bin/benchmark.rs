//! plimsoll, runc, crun and the floor, interleaved on one bundle: a table of medians and ratios. Not a test.
//!
//! `RUNTIME=path/to/plimsoll benchmark [--rounds N] [--quick] [--library]`, as root (`integration-tests/bench` builds and runs it).
//! What is not installed is left out. `--library`: only what the library costs a large program.
#![allow(clippy::print_stdout, reason = "it prints a table")]
#[path = "benchmark/library.rs"]
mod library;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use plimsoll_integration_tests::measure::{median, milliseconds, time};
use plimsoll_integration_tests::{Container, Runtime, cgroup};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Between starts, as containers really start: long enough for the kernel to be idle again.
const APART: Duration = Duration::from_millis(300);
/// In a row; the first of them does not count.
const BURST: usize = 6;
const HOST_MOUNTS: usize = 1000;

fn main() {
    let Options { rounds, mounts, library_only } = options();
    cgroup::enter_empty_v2().expect("root, to make a mount namespace");
    set_child_subreaper(true).expect("a subreaper");
    let library = |ours: &Runtime| library::compare(ours, rounds).iter().for_each(|line| println!("{line}"));
    if library_only {
        return library(&Runtime::named(&ours()));
    }
    let bench = Bench::new();
    println!("{} rounds, medians, one bundle, interleaved\n", rounds);
    bench.header();
    let back_to_back = bench.run_back_to_back(rounds);
    bench.row("run, back to back", "ms", &back_to_back);
    bench.row(
        "run, 300 ms apart",
        "ms",
        &bench.compare(rounds, |who| {
            std::thread::sleep(APART);
            who.run(&bench.container)
        }),
    );
    bench.row("create start wait delete", "ms", &bench.compare(rounds, |who| who.lifecycle(&bench.container)));
    bench.row("exec", "ms", &bench.exec(rounds));
    let [resident, dirty] = bench.memory();
    bench.row("created init: RSS", "kB", &resident);
    bench.row("created init: private dirty", "kB", &dirty);
    let more = with_host_mounts(&bench.container.dir, mounts, || bench.run_back_to_back(rounds));
    bench.row(&format!("run, {mounts} more host mounts"), "ms", &more);
    bench.row("  what they cost", "ms", &difference(&more, &back_to_back));
    if let Some(ours) = bench.who.iter().find_map(|who| who.runtime.filter(|runtime| runtime.is("plimsoll"))) {
        library(ours);
    }
}

struct Options {
    rounds: usize,
    mounts: usize,
    library_only: bool,
}

/// Who is called plimsoll.
fn ours() -> String {
    std::env::var("RUNTIME").unwrap_or("plimsoll".to_owned())
}

fn options() -> Options {
    let (mut rounds, mut mounts, mut library_only) = (20, HOST_MOUNTS, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => (rounds, mounts) = (4, HOST_MOUNTS / 10),
            "--rounds" => rounds = arguments.next().and_then(|rounds| rounds.parse().ok()).expect("--rounds N"),
            "--library" => library_only = true,
            _ => panic!("benchmark [--rounds N] [--quick] [--library]"),
        }
    }
    Options { rounds, mounts, library_only }
}

/// One column of the table; nothing where it was not asked.
type Row = Vec<Option<f64>>;

struct Bench {
    who: Vec<Contender>,
    container: Container,
}

impl Bench {
    fn new() -> Bench {
        let ours = ours();
        let runtimes: Vec<_> = [&*ours, "runc", "crun"].into_iter().filter_map(Runtime::find).collect();
        let runtimes = runtimes.leak();
        let container = Container::of(runtimes.first().expect("a runtime").clone()).args(&["/bin/true"]);
        container.write_config();
        let state = container.dir.join("states");
        let floor = Contender { name: "floor", path: build_floor(&container.dir), runtime: None, state: state.clone() };
        let contender = |runtime: &'static Runtime| Contender {
            name: &runtime.name,
            path: runtime.path.clone(),
            runtime: Some(runtime),
            state: state.join(&runtime.name),
        };
        let who = [floor].into_iter().chain(runtimes.iter().map(contender)).collect();
        Bench { who, container }
    }

    /// The median of each over so many rounds, taking turns.
    fn compare(&self, rounds: usize, measure: impl Fn(&Contender) -> Option<Duration>) -> Row {
        let mut taken = vec![Vec::new(); self.who.len()];
        for _ in 0..rounds {
            for (who, taken) in self.who.iter().zip(&mut taken) {
                taken.extend(measure(who));
            }
        }
        taken.iter_mut().map(|taken| (!taken.is_empty()).then(|| milliseconds(median(taken)))).collect()
    }

    fn run_back_to_back(&self, rounds: usize) -> Row {
        self.compare(rounds, |who| {
            let mut taken: Vec<_> = (0..BURST).filter_map(|_| who.run(&self.container)).skip(1).collect();
            Some(median(&mut taken))
        })
    }

    fn exec(&self, rounds: usize) -> Row {
        // Cgroups of their own: all of them run at once.
        let sleeping = |who: &Contender| {
            let container = Container::of(who.runtime?.clone()).args(&["sleep", "1000"]);
            container.write_config();
            time(who.call(&["run", "--detach", "--bundle"]).arg(&container.dir).arg(&container.id));
            Some(container)
        };
        let containers: Vec<_> = self.who.iter().map(sleeping).collect();
        let row = self.compare(rounds, |who| {
            let container = containers.iter().zip(&self.who).find(|(_, other)| other.name == who.name)?.0.as_ref()?;
            Some(time(&mut who.call(&["exec", &container.id, "/bin/true"])))
        });
        for (who, container) in self.who.iter().zip(&containers) {
            if let Some(container) = container {
                time(&mut who.call(&["delete", "--force", &container.id]));
            }
        }
        row
    }

    /// Resident and private dirty kilobytes of the process that waits for `start`.
    fn memory(&self) -> [Row; 2] {
        let look = |who: &Contender| {
            let pid = who.create(&self.container)?;
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("a process");
            time(&mut who.call(&["delete", "--force", &self.container.id]));
            Some(["Rss:", "Private_Dirty:"].map(|key| kilobytes(&rollup, key)))
        };
        let seen: Vec<_> = self.who.iter().map(look).collect();
        [0, 1].map(|index| seen.iter().map(|pair| pair.map(|pair| pair[index])).collect())
    }

    fn header(&self) {
        let names: String = self.who.iter().map(|who| format!("{:>10}", who.name)).collect();
        println!("{:<32}{names}   plimsoll is", "");
    }

    fn row(&self, what: &str, unit: &str, row: &Row) {
        let cell = |value: &Option<f64>| value.map_or_else(|| format!("{:>10}", "–"), |value| format!("{value:>10.2}"));
        let of = |name: &str| self.who.iter().position(|who| who.name == name).and_then(|index| row[index]);
        let ratio = |name: &str| Some(format!("   {:.2} × {name}", of("plimsoll")? / of(name)?));
        let ratios: String = ["floor", "crun", "runc"].iter().filter_map(|name| ratio(name)).collect();
        println!("{:<32}{}{ratios}", format!("{what}, {unit}"), row.iter().map(cell).collect::<String>());
    }
}

struct Contender {
    name: &'static str,
    path: PathBuf,
    /// The floor is none.
    runtime: Option<&'static Runtime>,
    state: PathBuf,
}

impl Contender {
    fn call(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.arg("--root").arg(&self.state).args(args);
        command
    }

    fn run(&self, container: &Container) -> Option<Duration> {
        let floor = || {
            let mut command = Command::new(&self.path);
            command.arg(container.rootfs()).arg(format!("/{}.floor", container.id)).arg("/bin/true");
            command
        };
        let run = |_| {
            let mut command = self.call(&["run", "--bundle"]);
            command.arg(&container.dir).arg(&container.id);
            command
        };
        Some(time(&mut self.runtime.map_or_else(floor, run)))
    }

    /// The pid of its init.
    fn create(&self, container: &Container) -> Option<i32> {
        self.runtime?;
        let file = container.dir.join("pid");
        time(self.call(&["create", "--pid-file"]).arg(&file).arg("--bundle").arg(&container.dir).arg(&container.id));
        Some(fs::read_to_string(file).expect("a pid file").trim().parse().expect("a pid"))
    }

    /// As an engine does it: we are the subreaper that init comes to.
    fn lifecycle(&self, container: &Container) -> Option<Duration> {
        let started = Instant::now();
        let pid = self.create(container)?;
        time(&mut self.call(&["start", &container.id]));
        waitpid(Pid::from_raw(pid), None).expect("adopted by us");
        time(&mut self.call(&["delete", &container.id]));
        Some(started.elapsed())
    }
}

fn kilobytes(rollup: &str, key: &str) -> f64 {
    let line = rollup.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).expect("smaps_rollup")
}

fn difference(more: &Row, less: &Row) -> Row {
    more.iter().zip(less).map(|(more, less)| Some((*more)? - (*less)?)).collect()
}

/// Runs with so many more mounts in our namespace, which every container starts from a copy of.
fn with_host_mounts<T>(dir: &Path, count: usize, run: impl FnOnce() -> T) -> T {
    let top = dir.join("mounts");
    let new = |path: &Path, kind: Option<&str>, source: &Path, flags: MsFlags| {
        fs::create_dir(path).expect("our own");
        mount(Some(source), path, kind, flags, None::<&str>).expect("our own mount namespace");
    };
    new(&top, Some("tmpfs"), Path::new("tmpfs"), MsFlags::empty());
    for number in 0..count {
        new(&top.join(number.to_string()), None, Path::new("/mnt"), MsFlags::MS_BIND);
    }
    let result = run();
    umount2(&top, MntFlags::MNT_DETACH).expect("just mounted");
    result
}

/// Static, so that it pays for no dynamic linker: a flag for one program, which Cargo.toml cannot say.
fn build_floor(dir: &Path) -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = std::env::temp_dir().join("plimsoll-floor");
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let status = Command::new(cargo)
        .args(["rustc", "--quiet", "--release", "--bin", "floor", "--manifest-path", manifest, "--target-dir"])
        .arg(&target)
        .args(["--", "-Ctarget-feature=+crt-static", "-Crelocation-model=static"])
        .status();
    assert!(status.is_ok_and(|status| status.success()), "floor could not be built");
    let floor = dir.join("floor");
    fs::copy(target.join("release/floor"), &floor).expect("just built");
    floor
}
