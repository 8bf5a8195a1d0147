//! Containers that are saved with a real CRIU, and restored.
use crate::runtime::path_with_criu;
use crate::{Container, Output, output};
use serde_json::json;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::Command;

/// What the container's streams lead to.
#[derive(Debug)]
pub struct Streams {
    pub stdin: Option<File>,
    pub stdout: BufReader<File>,
}

impl Streams {
    #[track_caller]
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a pipe");
        line.trim_end().to_owned()
    }

    pub fn number(&mut self) -> u64 {
        let line = self.line();
        line.parse().unwrap_or_else(|_| panic!("{line:?} is no number"))
    }
}

/// A container, and where its images are.
#[derive(Debug)]
pub struct Saved {
    pub container: Container,
    pub images: PathBuf,
}

impl Saved {
    /// Its bundle, its images and CRIU's work files are in one directory.
    pub fn new(container: Container) -> Saved {
        let images = container.dir.join("images");
        Saved { container, images }
    }

    /// Counts, in a variable of its own, as fast as somebody reads.
    pub fn counter() -> Saved {
        Saved::new(Container::new().shell("n=0; while read word; do n=$((n+1)); echo $n; done; exit 7"))
    }

    /// The counter in a user namespace, whose root is user 100000 and group 200000 of the host.
    pub fn counter_of_a_user() -> Saved {
        let mut saved = Saved::counter();
        for (key, host) in [("uidMappings", 100_000), ("gidMappings", 200_000)] {
            let map = json!([{"containerID": 0, "hostID": host, "size": 65536}]);
            saved.container = saved.container.set(&format!("/linux/{key}"), map);
        }
        saved.container = saved.container.namespace("user", None);
        saved
    }

    /// The counter, which has come to 1.
    #[track_caller]
    pub fn counting() -> (Saved, Streams) {
        let saved = Saved::counter();
        let mut streams = saved.run();
        count(&mut streams, 1);
        (saved, streams)
    }

    /// The same, in images only.
    #[track_caller]
    pub fn counted() -> Saved {
        let saved = Saved::counter();
        saved.count_and_save();
        saved
    }

    /// Runs the counter until it has come to 1, and saves it.
    #[track_caller]
    pub fn count_and_save(&self) {
        let mut streams = self.run();
        count(&mut streams, 1);
        self.checkpoint(&[]).ok();
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.container.command(args);
        command.env("PATH", path_with_criu());
        command
    }

    /// On new pipes. Not to be read from before the runtime has ended: crun holds on to them.
    #[track_caller]
    pub fn on_pipes(mut command: Command) -> Streams {
        let pipe = || nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).expect("a pipe");
        let ((stdin, writer), (reader, stdout)) = (pipe(), pipe());
        let (mut writer, reader) = (Some(File::from(writer)), File::from(reader));
        command.stdin(stdin).stdout(stdout.try_clone().expect("dup")).stderr(stdout);
        let child = command.spawn().expect("the runtime");
        drop(command);
        let status = output::wait(child, "on pipes");
        let mut stdout = BufReader::new(reader);
        if status != 0 {
            writer.take();
            let mut words = String::new();
            std::io::Read::read_to_string(&mut stdout, &mut words).expect("a pipe");
            panic!("status {status}: {words}");
        }
        Streams { stdin: writer, stdout }
    }

    #[track_caller]
    pub fn run(&self) -> Streams {
        self.container.write_config();
        let bundle = self.container.dir.to_str().expect("UTF-8");
        let streams = Saved::on_pipes(self.command(&["run", "--detach", "--bundle", bundle, &self.container.id]));
        self.container.wait_for("running");
        streams
    }

    #[track_caller]
    pub fn checkpoint(&self, flags: &[&str]) -> Output {
        let images = self.images.to_str().expect("UTF-8");
        let all = [&["checkpoint", "--image-path", images], flags, &[&self.container.id]].concat();
        output::finish(&mut self.command(&all))
    }

    pub fn restore_command(&self, flags: &[&str]) -> Command {
        self.container.write_config();
        let (images, bundle) = (self.images.to_str().expect("UTF-8"), self.container.dir.to_str().expect("UTF-8"));
        let all = ["restore", "--image-path", images, "--bundle", bundle];
        self.command(&[&all, flags, &[&self.container.id]].concat())
    }

    #[track_caller]
    pub fn restore(&self) -> Streams {
        Saved::on_pipes(self.restore_command(&["--detach"]))
    }

    /// A restore that fails.
    #[track_caller]
    pub fn restore_fails(&self, words: &str) {
        output::finish(&mut self.restore_command(&["--detach"])).fails(words);
        self.container.assert_nothing_left();
    }
}

#[track_caller]
pub fn count(streams: &mut Streams, times: u64) -> u64 {
    let mut last = 0;
    for _ in 0..times {
        streams.stdin.as_mut().expect("open").write_all(b"go\n").expect("a pipe");
        last = streams.number();
    }
    last
}
