//! What a caller decides about a checkpoint or a restore, and how CRIU is told.
#![forbid(unsafe_code)]
use super::images::Directory;
use super::{Criu, Message, option};
use oci_spec::runtime::Spec;
use rustix::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// What a caller of `checkpoint` or `restore` decides. What belongs to the other one is left alone.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CriuOptions {
    /// The directory of the images; made by `checkpoint` if it is not there.
    pub image_path: PathBuf,
    /// Where CRIU writes its log and other files; the directory of the images if `None`.
    pub work_path: Option<PathBuf>,
    /// Images of an earlier `pre_dump`, relative to `image_path`.
    pub parent_path: Option<PathBuf>,
    /// Checkpoint: let the container run on.
    pub leave_running: bool,
    /// Checkpoint: save the memory only, and let the container run on.
    pub pre_dump: bool,
    /// Connections stay connected; without it they are an error.
    pub tcp_established: bool,
    /// Checkpoint: leave connections out that are being made.
    pub tcp_skip_in_flight: bool,
    /// Restore: connections come back closed.
    pub tcp_close: bool,
    /// Checkpoint: give deleted files a name again where they can have one.
    pub link_remap: bool,
    /// Unix sockets may be connected to the outside.
    pub ext_unix_sk: bool,
    /// The terminal may be one of the outside.
    pub shell_job: bool,
    /// Locks on files are kept; without it they are an error.
    pub file_locks: bool,
    /// Drop from older images what newer ones have.
    pub auto_dedup: bool,
    /// Checkpoint: serve the memory to whoever asks at `page_server`. Restore: fetch it from `criu lazy-pages`.
    pub lazy_pages: bool,
    /// Checkpoint: gets a zero byte when lazy pages can be fetched.
    pub status_fd: Option<i32>,
    /// Checkpoint: address and port of a page server.
    pub page_server: Option<(String, u16)>,
    /// How CRIU treats cgroups.
    pub manage_cgroups: ManageCgroups,
    /// What keeps the network quiet meanwhile; what CRIU takes by itself if `None`.
    pub network_lock: Option<NetworkLock>,
    /// Restore: `TYPE:NAME` of the security module's profile.
    pub lsm_profile: Option<String>,
    /// Restore: the context of mounts.
    pub lsm_mount_context: Option<String>,
}

setters! {
    CriuOptions {
        work_path: PathBuf, parent_path: PathBuf, status_fd: i32, page_server: (String, u16), network_lock: NetworkLock,
        lsm_profile: String, lsm_mount_context: String,
    } {
        image_path: PathBuf, manage_cgroups: ManageCgroups,
    } {
        leave_running, pre_dump, tcp_established, tcp_skip_in_flight, tcp_close, link_remap, ext_unix_sk, shell_job,
        file_locks, auto_dedup, lazy_pages,
    }
}

/// How CRIU treats cgroups (criu(8), `--manage-cgroups`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ManageCgroups {
    #[default]
    /// Those that are not there are made, with the limits that the images hold.
    Soft,
    /// All get the limits that the images hold.
    Full,
    /// As `Full`, and one that is there already is an error.
    Strict,
    /// They are left alone.
    Ignore,
}

/// How CRIU keeps connections from being answered meanwhile (criu(8), `--network-lock`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkLock {
    /// By rules of iptables(8).
    Iptables,
    /// By a table of nftables.
    Nftables,
    /// It is not.
    Skip,
}

impl CriuOptions {
    /// Where CRIU works.
    pub(crate) fn work(&self) -> &Path {
        self.work_path.as_deref().unwrap_or(&self.image_path)
    }

    /// What `checkpoint` and `restore` of a container with this configuration share. Of network namespaces CRIU saves nothing: what is in one belongs to the engine
    /// (runc does the same).
    pub(crate) fn message(&self, images: &Directory, criu: &Criu, spec: &Spec) -> Message {
        /// One that tells what it is about, short of every page.
        const LOG_LEVEL: i32 = 4;
        let manage_cgroups = match self.manage_cgroups {
            ManageCgroups::Ignore => 0,
            ManageCgroups::Soft => 3,
            ManageCgroups::Full => 4,
            ManageCgroups::Strict => 5,
        };
        let mut message = Message::default()
            .number(option::IMAGES_DIR_FD, images.fd.as_raw_fd())
            .number(option::LOG_LEVEL, LOG_LEVEL)
            .number(option::WORK_DIR_FD, criu.work())
            .text(option::LOG_FILE, criu.log.name)
            .number(option::NOTIFY_SCRIPTS, true)
            .number(option::ORPHAN_PTS_MASTER, true)
            .number(option::EMPTY_NS, libc::CLONE_NEWNET)
            .number(option::MANAGE_CGROUPS_MODE, manage_cgroups)
            .number(option::TCP_ESTABLISHED, self.tcp_established)
            .number(option::EXT_UNIX_SK, self.ext_unix_sk)
            .number(option::SHELL_JOB, self.shell_job)
            .number(option::FILE_LOCKS, self.file_locks)
            .number(option::AUTO_DEDUP, self.auto_dedup)
            .number(option::LAZY_PAGES, self.lazy_pages);
        if let Some(lock) = self.network_lock {
            let method = match lock {
                NetworkLock::Iptables => 1,
                NetworkLock::Nftables => 2,
                NetworkLock::Skip => 3,
            };
            message = message.number(option::NETWORK_LOCK, method);
        }
        match config_file(spec) {
            "" => message,
            path => message.text(option::CONFIG_FILE, path),
        }
    }
}

/// Settings for CRIU from a file, which outweigh all others: an annotation names one, or says that there is none.
fn config_file(spec: &Spec) -> &str {
    let annotation = spec.annotations().as_ref().and_then(|annotations| annotations.get("org.criu.config"));
    annotation.map_or("/etc/criu/runc.conf", String::as_str)
}
