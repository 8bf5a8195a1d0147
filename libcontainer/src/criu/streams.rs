//! The container's standard streams come from outside: CRIU saves a name for each, and at the restore they are those that the
//! container is given then. In the images they are in a file of runc's, `descriptors.json`.
#![forbid(unsafe_code)]
use super::{Message, inherited, option};
use rustix::fs::{AtFlags, CWD, StatxFlags};
use std::os::unix::ffi::OsStrExt;

/// The names of the streams that a container is about to be given: `pipe:[1234]`; for a file or a device `file[1f:4d2]`, its mount
/// and inode (criu(8), `--inherit-fd`); others as procfs names them.
pub(crate) fn names(stdio: Option<[i32; 3]>) -> Vec<String> {
    stdio.unwrap_or([0, 1, 2]).map(name).to_vec()
}

fn name(number: i32) -> String {
    let path = format!("/proc/self/fd/{number}");
    // may fail: a stream without a name is not saved by one.
    let Ok(link) = std::fs::read_link(&path) else { return String::new() };
    let wanted = StatxFlags::INO | StatxFlags::MNT_ID;
    match rustix::fs::statx(CWD, &path, AtFlags::empty(), wanted) {
        Ok(stat) if link.as_os_str().as_bytes().starts_with(b"/") => {
            format!("file[{:x}:{:x}]", stat.stx_mnt_id, stat.stx_ino)
        }
        _ => link.to_string_lossy().into_owned(),
    }
}

/// Which are saved by a name only. CRIU has to be told of files: nobody would find a pipe's other end in the container.
pub(crate) fn for_dump(options: Message, names: &[String]) -> Message {
    names.iter().filter(|name| is_file(name)).fold(options, |options, name| options.text(option::EXTERNAL, name))
}

/// CRIU's own standard streams take the place of those that the images name.
pub(crate) fn for_restore(options: Message, names: &[String]) -> Message {
    let given = (0..).zip(names).filter(|(_, name)| is_given(name));
    given.fold(options, |options, (number, name)| options.message(option::INHERIT_FD, &inherited(name, number)))
}

/// Whether a stream of this name is saved as a name, and can be given anew. Names may come from a stranger's archive.
fn is_given(name: &str) -> bool {
    let number =
        |text: &str, digit: fn(&u8) -> bool| (1..=20).contains(&text.len()) && text.bytes().all(|byte| digit(&byte));
    let inside = |kind| name.strip_prefix(kind).and_then(|rest: &str| rest.strip_suffix(']'));
    let is_pipe = inside("pipe:[").is_some_and(|inode| number(inode, u8::is_ascii_digit));
    is_pipe
        || is_file(name)
            && inside("file[").and_then(|file| file.split_once(':')).is_some_and(|(mount, inode)| {
                number(mount, u8::is_ascii_hexdigit) && number(inode, u8::is_ascii_hexdigit)
            })
}

fn is_file(name: &str) -> bool {
    name.starts_with("file[")
}

#[cfg(test)]
mod tests {
    use super::{is_file, is_given, name};
    use std::os::fd::AsRawFd;

    #[test]
    fn pipes_and_files_are_given_anew() {
        let (reader, _writer) = rustix::pipe::pipe().unwrap();
        assert!(is_given(&name(reader.as_raw_fd())) && !is_file(&name(reader.as_raw_fd())));
        let null = std::fs::File::open("/dev/null").unwrap();
        assert!(is_given(&name(null.as_raw_fd())) && is_file(&name(null.as_raw_fd())));
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(!is_given(&name(socket.as_raw_fd())));
        assert_eq!(name(-1), "");
    }

    #[test]
    fn nothing_else_is() {
        let wrong = ["", "/dev/null", "socket:[1]", "pipe:[]", "pipe:[1]x", "pipe:[-1]", "xpipe:[1]", "/tmp/pipe:[1]"];
        let files = [
            "file[1]",
            "file[:1]",
            "file[1:]",
            "file[1:g]",
            "file[1:2:3]",
            "file[1:2]]",
            "file[1:123456789012345678901]",
        ];
        for name in wrong.into_iter().chain(files) {
            assert!(!is_given(name), "{name}");
        }
    }
}
