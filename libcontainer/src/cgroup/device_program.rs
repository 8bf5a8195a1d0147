//! cgroup v2: putting a device program into force.
#![forbid(unsafe_code)]
use super::bpf;
use super::directory::Directory;
use crate::{Error, Result};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Loads `program` and attaches it to the group, in the place of what was attached there: at no moment are there
/// no rules, or old and new ones at once where the kernel can replace (one program, KERNEL(5.6)).
pub(crate) fn attach_device_program(directory: &Path, program: &[u8]) -> Result<()> {
    let failed = |call: &str, errno| {
        Error::system(format!("attach the device rules to {}", directory.display()), format!("bpf({call})"), errno)
    };
    let group = Directory::open(directory).map_err(|errno| failed("openat", errno))?;
    // bpf(2) does not take O_PATH.
    let how = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
    let group = group.open_file(".", how).map_err(|errno| failed("openat", errno))?;
    let program = load(program)?;
    let open = |id: &u32| bpf::program_by_id(*id).map_err(|errno| failed("BPF_PROG_GET_FD_BY_ID", errno));
    let attached = bpf::device_programs(group.as_fd()).map_err(|errno| failed("BPF_PROG_QUERY", errno))?;
    let old: Vec<OwnedFd> = attached.iter().map(open).collect::<Result<_>>()?;
    if let [old] = &old[..] {
        match bpf::attach_device_program(group.as_fd(), program.as_fd(), Some(old.as_fd())) {
            // A kernel that cannot replace, or somebody else's program attached for itself alone.
            Err(Errno::INVAL | Errno::PERM) => {}
            result => {
                return result.map_err(|errno| failed("BPF_PROG_ATTACH, BPF_F_REPLACE", errno));
            }
        }
    }
    // All attached programs have to allow an access, so the new one first: never too much, for a moment too little.
    bpf::attach_device_program(group.as_fd(), program.as_fd(), None)
        .map_err(|errno| failed("BPF_PROG_ATTACH", errno))?;
    for old in &old {
        bpf::detach_device_program(group.as_fd(), old.as_fd()).map_err(|errno| failed("BPF_PROG_DETACH", errno))?;
    }
    Ok(())
}

fn load(program: &[u8]) -> Result<OwnedFd> {
    match bpf::load_device_program(program, &mut []) {
        // KERNEL(5.11): until then programs count as locked memory. If raising that fails, so does loading.
        Err(Errno::PERM) => {
            let limit = getrlimit(Resource::Memlock);
            _ = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
            let loaded = bpf::load_device_program(program, &mut []);
            _ = setrlimit(Resource::Memlock, limit);
            loaded.map_err(|errno| refused(program, errno))
        }
        loaded => loaded.map_err(|errno| refused(program, errno)),
    }
}

/// Once more, for what the verifier has to say.
fn refused(program: &[u8], errno: Errno) -> Error {
    let mut log = vec![0; 64 * 1024];
    _ = bpf::load_device_program(program, &mut log);
    let words = String::from_utf8_lossy(log.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned();
    Error::system("load the device rules", "bpf(BPF_PROG_LOAD)", errno).detail(words.trim())
}
