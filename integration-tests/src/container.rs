//! A bundle in a temporary directory, the container that runs from it, and what is left of them.
use crate::rootfs::{make_root, new_directory};
use crate::{Output, Runtime, cgroup, output, runtime, systemd, wait_until};
use nix::unistd;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What `runc spec` prints, without a terminal.
pub const DEFAULT: &str = include_str!("default.json");

/// Built step by step, then run; deleted with force when it goes out of scope.
#[derive(Debug)]
pub struct Container {
    /// Also the name of its directory, and part of everything that belongs to it.
    pub id: String,
    pub dir: PathBuf,
    pub config: Value,
    pub runtime: Runtime,
    /// Who calls the runtime, if not root.
    pub user: Option<u32>,
    /// The cgroup v2 that the runtime is called in, if not our own.
    pub called_in: Option<PathBuf>,
}

/// What a deleted container may not leave.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    pub state: Vec<PathBuf>,
    pub cgroups: Vec<PathBuf>,
    pub processes: Vec<i32>,
    pub mounts: Vec<String>,
    /// Of systemd.
    pub units: Vec<String>,
}

impl Default for Container {
    fn default() -> Container {
        Container::new()
    }
}

impl Container {
    /// The default config, busybox as its root filesystem, a cgroup of its own.
    ///
    /// # Panics
    /// As everything here: if the machine cannot even do this.
    pub fn new() -> Container {
        Container::of(runtime().clone())
    }

    pub fn of(runtime: Runtime) -> Container {
        let (id, dir) = new_directory();
        make_root(&dir.join("rootfs"));
        let config = serde_json::from_str(DEFAULT).expect("JSON");
        let container = Container { config, runtime, user: None, called_in: None, dir, id };
        let path = container.cgroups_path();
        container.set("/linux/cgroupsPath", json!(path))
    }

    /// As `spec --rootless` has it, for an ordinary user.
    pub fn rootless(user: u32) -> Container {
        let mut container = Container::new().remove("/linux/resources").remove("/linux/cgroupsPath");
        let map = |outside: u32| json!([{"containerID": 0, "hostID": outside, "size": 1}]);
        let namespaces = ["pid", "ipc", "uts", "mount", "user"].map(|kind| json!({"type": kind}));
        let mounts = container.config["mounts"].as_array_mut().expect("an array");
        mounts.retain(|mount| !mount["destination"].as_str().unwrap_or_default().starts_with("/sys"));
        let options = json!(["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]);
        mounts
            .iter_mut()
            .filter(|mount| mount["type"] == "devpts")
            .for_each(|mount| mount["options"] = options.clone());
        mounts.push(json!({"destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]}));
        container.user = Some(user);
        if !container.runtime.path.starts_with("/usr") {
            // An ordinary user cannot reach below /root, where a clone may be.
            let copy = container.dir.join(&container.runtime.name);
            fs::copy(&container.runtime.path, &copy).expect("a copy");
            container.runtime.path = copy;
        }
        for path in [&container.dir, &container.rootfs()] {
            chown(path, Some(user), Some(user)).expect("ours, or we are root");
        }
        container
            .set("/linux/uidMappings", map(user))
            .set("/linux/gidMappings", map(user))
            .set("/linux/namespaces", json!(namespaces))
    }

    // What config.json says.

    /// Sets what is at a JSON pointer, making the objects that lead there; `-` appends to an array.
    #[must_use]
    pub fn set(mut self, pointer: &str, value: Value) -> Container {
        let mut place = &mut self.config;
        for key in pointer.split('/').skip(1) {
            if key == "-" && place.is_null() {
                *place = json!([]);
            }
            place = match (place, key.parse::<usize>()) {
                (Value::Array(array), Ok(index)) => &mut array[index],
                (Value::Array(array), _) => {
                    array.push(Value::Null);
                    array.last_mut().expect("just pushed")
                }
                (object, _) => &mut object[key],
            };
        }
        *place = value;
        self
    }

    #[must_use]
    pub fn remove(mut self, pointer: &str) -> Container {
        let (parent, key) = pointer.rsplit_once('/').expect("a JSON pointer");
        match (self.config.pointer_mut(parent), key.parse::<usize>()) {
            (Some(Value::Object(object)), _) => drop(object.remove(key)),
            (Some(Value::Array(array)), Ok(index)) => drop(array.remove(index)),
            _ => {}
        }
        self
    }

    #[must_use]
    pub fn args(self, args: &[&str]) -> Container {
        self.set("/process/args", json!(args))
    }

    #[must_use]
    pub fn shell(self, script: &str) -> Container {
        self.args(&["sh", "-c", script])
    }

    #[must_use]
    pub fn mount(self, mount: Value) -> Container {
        self.set("/mounts/-", mount)
    }

    /// One more namespace; `path` to join one.
    #[must_use]
    pub fn namespace(self, kind: &str, path: Option<&str>) -> Container {
        let namespace = path.map_or(json!({"type": kind}), |path| json!({"type": kind, "path": path}));
        self.without_namespace(kind).set("/linux/namespaces/-", namespace)
    }

    #[must_use]
    pub fn without_namespace(mut self, kind: &str) -> Container {
        self.config["linux"]["namespaces"]
            .as_array_mut()
            .expect("an array")
            .retain(|namespace| namespace["type"] != kind);
        self
    }

    /// A user namespace of its own: `size` users and groups from 0 on are those from `first` on outside.
    #[must_use]
    pub fn user_namespace(self, first: u32, size: u32) -> Container {
        let map = json!([{"containerID": 0, "hostID": first, "size": size}]);
        self.namespace("user", None).set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map)
    }

    #[must_use]
    pub fn on_a_terminal(self) -> Container {
        self.set("/process/terminal", json!(true))
    }

    /// Both sets that count for a process that is root.
    #[must_use]
    pub fn capabilities(self, names: &[&str]) -> Container {
        let sets = ["bounding", "permitted", "effective"];
        sets.iter().fold(self, |container, set| container.set(&format!("/process/capabilities/{set}"), json!(names)))
    }

    // Where things are.

    pub fn rootfs(&self) -> PathBuf {
        self.dir.join("rootfs")
    }

    /// A new directory beside the root filesystem.
    pub fn make_dir(&self, name: &str) -> PathBuf {
        let dir = self.dir.join(name);
        fs::create_dir(&dir).expect("our own directory");
        dir
    }

    /// As `linux.cgroupsPath`.
    pub fn cgroups_path(&self) -> String {
        if cgroup::by_systemd() { format!("{}:t:{}", self.slice(), self.id) } else { self.cgroup() }
    }

    /// Where its cgroup is in each hierarchy. Without systemd it has a parent of its own, so that nobody else's removal is in the
    /// way.
    pub fn cgroup(&self) -> String {
        if cgroup::by_systemd() { format!("/{}/{}", self.slice(), self.unit()) } else { format!("/{0}/{0}", self.id) }
    }

    /// A slice of its own, with systemd.
    fn slice(&self) -> String {
        format!("{}.slice", self.id.replace('-', "_"))
    }

    /// Its scope, with systemd.
    pub fn unit(&self) -> String {
        format!("t-{}.scope", self.id)
    }

    /// The cgroup in the hierarchy that holds `controller`, from the outside: the only one, on cgroup v2.
    pub fn cgroup_dir(&self, controller: &str) -> PathBuf {
        let hierarchy = if cgroup::is_v2() { "" } else { controller };
        Path::new(cgroup::ROOT).join(hierarchy).join(self.cgroup().trim_start_matches('/'))
    }

    /// A file in [`Container::cgroup_dir`].
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn cgroup_file(&self, controller: &str, file: &str) -> String {
        let path = self.cgroup_dir(controller).join(file);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}")).trim_end().to_owned()
    }

    /// What files of its cgroup hold: (controller, file, content) on cgroup v1, (file, content) on v2.
    #[track_caller]
    pub fn assert_settings(&self, v1: &[(&str, &str, &str)], v2: &[(&str, &str)]) {
        let v2: Vec<_> = v2.iter().map(|(file, expected)| ("", *file, *expected)).collect();
        for (controller, file, expected) in if cgroup::is_v2() { &v2 } else { v1 } {
            assert_eq!(self.cgroup_file(controller, file), *expected, "{controller}/{file}");
        }
    }

    // What an engine calls.

    /// `RUNTIME --root … args`
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.runtime.command();
        command
            .arg("--root")
            .arg(self.dir.join("state"))
            // As engines do: those who look after a container later do not know.
            .args(by_systemd(args).then_some("--systemd-cgroup"))
            .args(args)
            .stdin(self.nothing())
            .env("PLIMSOLL_TEST", &self.id);
        if let Some(group) = &self.called_in {
            let procs = fs::OpenOptions::new().write(true).open(group.join("cgroup.procs")).expect("a cgroup");
            // SAFETY: only a system call between fork and exec.
            unsafe { command.pre_exec(move || (&procs).write_all(b"0")) };
        }
        if let Some(user) = self.user {
            if unistd::geteuid().is_root() {
                become_user(&mut command, user);
            }
            command.env("HOME", &self.dir).env("XDG_RUNTIME_DIR", &self.dir).current_dir(&self.dir);
        }
        command
    }

    /// The null device. crun gives its standard streams to the user of the container, and would give away that of the host.
    fn nothing(&self) -> Stdio {
        use nix::sys::stat::{Mode, SFlag, makedev, mknod};
        if !self.runtime.is("crun") {
            return Stdio::null();
        }
        let own = self.dir.join("null");
        let _ = mknod(&own, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(1, 3));
        fs::File::open(own).map_or_else(|_| Stdio::null(), Stdio::from)
    }

    #[track_caller]
    pub fn call(&self, args: &[&str]) -> Output {
        output::finish(&mut self.command(args))
    }

    /// `create` or `run`, any flags; the bundle and the id come after.
    #[track_caller]
    pub fn launch(&self, args: &[&str]) -> Output {
        output::finish(&mut self.launcher(args))
    }

    pub fn launcher(&self, args: &[&str]) -> Command {
        self.write_config();
        let mut command = self.command(args);
        command.arg("--bundle").arg(&self.dir).arg(&self.id);
        command
    }

    pub fn write_config(&self) {
        fs::write(self.dir.join("config.json"), self.config.to_string()).expect("our own directory");
    }

    #[track_caller]
    pub fn run(&self) -> Output {
        self.launch(&["run"])
    }

    #[track_caller]
    pub fn create(&self) -> Output {
        self.launch(&["create"])
    }

    #[track_caller]
    pub fn start(&self) -> Output {
        self.call(&["start", &self.id])
    }

    #[track_caller]
    pub fn kill(&self, signal: &str) -> Output {
        self.call(&["kill", &self.id, signal])
    }

    #[track_caller]
    pub fn delete(&self) -> Output {
        self.call(&["delete", &self.id])
    }

    #[track_caller]
    pub fn delete_by_force(&self) -> Output {
        self.call(&["delete", "--force", &self.id])
    }

    #[track_caller]
    pub fn pause(&self) -> Output {
        self.call(&["pause", &self.id])
    }

    #[track_caller]
    pub fn resume(&self) -> Output {
        self.call(&["resume", &self.id])
    }

    /// `update` with these resources, from a file.
    #[track_caller]
    pub fn update(&self, resources: &Value) -> Output {
        let path = self.dir.join("resources.json");
        fs::write(&path, resources.to_string()).expect("our own directory");
        self.call(&["update", "--resources", &path.to_string_lossy(), &self.id])
    }

    #[track_caller]
    pub fn exec(&self, args: &[&str]) -> Output {
        self.exec_with(&[], args)
    }

    #[track_caller]
    pub fn exec_with(&self, flags: &[&str], args: &[&str]) -> Output {
        self.call(&[&["exec"], flags, &[self.id.as_str()], args].concat())
    }

    #[track_caller]
    pub fn state(&self) -> Value {
        serde_json::from_str(self.call(&["state", &self.id]).ok()).expect("JSON")
    }

    #[track_caller]
    pub fn status(&self) -> String {
        self.state()["status"].as_str().unwrap_or_default().to_owned()
    }

    /// # Panics
    /// If it has none.
    #[track_caller]
    pub fn pid(&self) -> i32 {
        self.state()["pid"].as_i64().and_then(|pid| pid.try_into().ok()).expect("a pid")
    }

    #[track_caller]
    pub fn wait_for(&self, status: &str) {
        wait_until(&format!("{} is {status}", self.id), || (self.status() == status).then_some(()));
    }

    /// Created, its program not started.
    #[must_use]
    #[track_caller]
    pub fn created(self) -> Container {
        self.create().ok();
        self
    }

    /// Started, and busy with nothing until killed.
    #[must_use]
    #[track_caller]
    pub fn running(self) -> Container {
        let container = self.args(&["sleep", "1000"]).created();
        container.start().ok();
        // `start` may return before execve does.
        let program = format!("/proc/{}/cmdline", container.pid());
        let started = || fs::read(&program).is_ok_and(|line| line == b"sleep\x001000\0").then_some(());
        wait_until("its program runs", started);
        container
    }

    // What is left.

    /// Kills and deletes it: then there is nothing.
    #[track_caller]
    pub fn end(&self) {
        self.kill("KILL").ok();
        self.wait_for("stopped");
        self.delete().ok();
        self.assert_nothing_left();
    }

    pub fn left_behind(&self) -> Leftovers {
        Leftovers { processes: self.processes(), ..self.left_but_for_processes() }
    }

    /// Does not look at each process of the machine.
    pub fn left_but_for_processes(&self) -> Leftovers {
        let state = fs::read_dir(self.dir.join("state")).into_iter().flatten().flatten();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Leftovers {
            state: state.map(|entry| entry.path()).collect(),
            cgroups: cgroup::directories(&self.cgroup()),
            processes: Vec::new(),
            mounts: mounts.lines().filter(|line| line.contains(&self.id)).map(str::to_owned).collect(),
            units: if cgroup::by_systemd() { systemd::units(&self.unit()) } else { Vec::new() },
        }
    }

    #[track_caller]
    pub fn assert_nothing_left(&self) {
        assert_eq!(self.left_behind(), Leftovers::default());
    }

    /// Everyone in its cgroup, in its root filesystem, or with our mark in the environment. Not the dead:
    /// they wait for whoever adopted them.
    fn processes(&self) -> Vec<i32> {
        let pids = fs::read_dir("/proc").expect("procfs").flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let says = |pid: i32, file: &str, words: &str| {
            let text = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            String::from_utf8_lossy(&text).contains(words)
        };
        let ours =
            |pid: i32| ["cgroup", "environ", "cmdline", "mountinfo"].iter().any(|file| says(pid, file, &self.id));
        pids.filter(|pid| ours(*pid) && !says(*pid, "status", "State:\tZ")).collect()
    }
}

/// Hooks of one kind: this script.
pub fn hook(script: &str) -> Value {
    json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}])
}

/// Whether a command makes a container, and systemd is to make its cgroup.
fn by_systemd(args: &[&str]) -> bool {
    cgroup::by_systemd() && args.iter().any(|arg| matches!(*arg, "create" | "run" | "restore" | "plan" | "check"))
}

/// Last of all, after the runtime was put where it works.
fn become_user(command: &mut Command, user: u32) {
    let change = move || {
        unistd::setgroups(&[])?;
        unistd::setgid(user.into())?;
        Ok(unistd::setuid(user.into())?)
    };
    // SAFETY: only system calls between fork and exec, in a process of one thread.
    unsafe { command.pre_exec(change) };
}

impl Drop for Container {
    fn drop(&mut self) {
        // Not a place to panic: a test may be doing so already.
        let _ = catch_unwind(AssertUnwindSafe(|| self.delete_by_force()));
        cgroup::remove(&if cgroup::by_systemd() { self.slice() } else { self.id.clone() });
        if cgroup::by_systemd() {
            // It keeps those that it has made, and a daemon-reload takes the longer the more there are.
            let _ = Command::new("systemctl").args(["stop", "--quiet", "--no-block", &self.slice()]).status();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}
