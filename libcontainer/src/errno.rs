//! What errno is called, and what is said of it: the same words in every build. Engines look for those of Go and C, which are
//! glibc's; musl has words of its own for some twenty.
#![forbid(unsafe_code)]

macro_rules! table {
    ($($name:ident $words:literal,)*) => {
        /// Number, name, and words: as glibc spells them, with a small letter first, as Go prints them.
        const ERRORS: &[(i32, &str, &str)] = &[$((libc::$name, stringify!($name), $words),)*];
    };
}

table! {
    EPERM "operation not permitted",
    ENOENT "no such file or directory",
    ESRCH "no such process",
    EINTR "interrupted system call",
    EIO "input/output error",
    ENXIO "no such device or address",
    E2BIG "argument list too long",
    ENOEXEC "exec format error",
    EBADF "bad file descriptor",
    ECHILD "no child processes",
    EAGAIN "resource temporarily unavailable",
    ENOMEM "cannot allocate memory",
    EACCES "permission denied",
    EFAULT "bad address",
    ENOTBLK "block device required",
    EBUSY "device or resource busy",
    EEXIST "file exists",
    EXDEV "invalid cross-device link",
    ENODEV "no such device",
    ENOTDIR "not a directory",
    EISDIR "is a directory",
    EINVAL "invalid argument",
    ENFILE "too many open files in system",
    EMFILE "too many open files",
    ENOTTY "inappropriate ioctl for device",
    ETXTBSY "text file busy",
    EFBIG "file too large",
    ENOSPC "no space left on device",
    ESPIPE "illegal seek",
    EROFS "read-only file system",
    EMLINK "too many links",
    EPIPE "broken pipe",
    EDOM "numerical argument out of domain",
    ERANGE "numerical result out of range",
    EDEADLK "resource deadlock avoided",
    ENAMETOOLONG "file name too long",
    ENOLCK "no locks available",
    ENOSYS "function not implemented",
    ENOTEMPTY "directory not empty",
    ELOOP "too many levels of symbolic links",
    ENOMSG "no message of desired type",
    EIDRM "identifier removed",
    ECHRNG "channel number out of range",
    EL2NSYNC "level 2 not synchronized",
    EL3HLT "level 3 halted",
    EL3RST "level 3 reset",
    ELNRNG "link number out of range",
    EUNATCH "protocol driver not attached",
    ENOCSI "no CSI structure available",
    EL2HLT "level 2 halted",
    EBADE "invalid exchange",
    EBADR "invalid request descriptor",
    EXFULL "exchange full",
    ENOANO "no anode",
    EBADRQC "invalid request code",
    EBADSLT "invalid slot",
    EBFONT "bad font file format",
    ENOSTR "device not a stream",
    ENODATA "no data available",
    ETIME "timer expired",
    ENOSR "out of streams resources",
    ENONET "machine is not on the network",
    ENOPKG "package not installed",
    EREMOTE "object is remote",
    ENOLINK "link has been severed",
    EADV "advertise error",
    ESRMNT "srmount error",
    ECOMM "communication error on send",
    EPROTO "protocol error",
    EMULTIHOP "multihop attempted",
    EDOTDOT "RFS specific error",
    EBADMSG "bad message",
    EOVERFLOW "value too large for defined data type",
    ENOTUNIQ "name not unique on network",
    EBADFD "file descriptor in bad state",
    EREMCHG "remote address changed",
    ELIBACC "can not access a needed shared library",
    ELIBBAD "accessing a corrupted shared library",
    ELIBSCN ".lib section in a.out corrupted",
    ELIBMAX "attempting to link in too many shared libraries",
    ELIBEXEC "cannot exec a shared library directly",
    EILSEQ "invalid or incomplete multibyte or wide character",
    ERESTART "interrupted system call should be restarted",
    ESTRPIPE "streams pipe error",
    EUSERS "too many users",
    ENOTSOCK "socket operation on non-socket",
    EDESTADDRREQ "destination address required",
    EMSGSIZE "message too long",
    EPROTOTYPE "protocol wrong type for socket",
    ENOPROTOOPT "protocol not available",
    EPROTONOSUPPORT "protocol not supported",
    ESOCKTNOSUPPORT "socket type not supported",
    EOPNOTSUPP "operation not supported",
    EPFNOSUPPORT "protocol family not supported",
    EAFNOSUPPORT "address family not supported by protocol",
    EADDRINUSE "address already in use",
    EADDRNOTAVAIL "cannot assign requested address",
    ENETDOWN "network is down",
    ENETUNREACH "network is unreachable",
    ENETRESET "network dropped connection on reset",
    ECONNABORTED "software caused connection abort",
    ECONNRESET "connection reset by peer",
    ENOBUFS "no buffer space available",
    EISCONN "transport endpoint is already connected",
    ENOTCONN "transport endpoint is not connected",
    ESHUTDOWN "cannot send after transport endpoint shutdown",
    ETOOMANYREFS "too many references: cannot splice",
    ETIMEDOUT "connection timed out",
    ECONNREFUSED "connection refused",
    EHOSTDOWN "host is down",
    EHOSTUNREACH "no route to host",
    EALREADY "operation already in progress",
    EINPROGRESS "operation now in progress",
    ESTALE "stale file handle",
    EUCLEAN "structure needs cleaning",
    ENOTNAM "not a XENIX named type file",
    ENAVAIL "no XENIX semaphores available",
    EISNAM "is a named type file",
    EREMOTEIO "remote I/O error",
    EDQUOT "disk quota exceeded",
    ENOMEDIUM "no medium found",
    EMEDIUMTYPE "wrong medium type",
    ECANCELED "operation canceled",
    ENOKEY "required key not available",
    EKEYEXPIRED "key has expired",
    EKEYREVOKED "key has been revoked",
    EKEYREJECTED "key was rejected by service",
    EOWNERDEAD "owner died",
    ENOTRECOVERABLE "state not recoverable",
    ERFKILL "operation not possible due to RF-kill",
    EHWPOISON "memory page has hardware error",
}

/// `no such file or directory (ENOENT)`: engines look for the words, people for the name.
pub fn describe_errno(errno: i32) -> String {
    match ERRORS.iter().find(|(number, ..)| *number == errno) {
        Some((_, name, words)) => format!("{words} ({name})"),
        None => format!("errno {errno}"),
    }
}

/// An error of the standard library's, in the same words where it has an errno.
pub fn describe_io(error: &std::io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), describe_errno)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_glibc_as_go_prints_them() {
        for errno in 1..4096 {
            let glibc = std::io::Error::from_raw_os_error(errno).to_string();
            let glibc = glibc.split(" (os error").next().unwrap();
            let entry = ERRORS.iter().find(|(number, ..)| *number == errno);
            let Some((_, name, words)) = entry else {
                assert!(
                    glibc.starts_with("Unknown error") || glibc.starts_with("No error information"),
                    "{errno}: {glibc}"
                );
                continue;
            };
            assert!(name.starts_with('E') && !words.is_empty());
            // mkerrors.sh of Go: "Bad -> bad, but STREAM -> STREAM".
            let mut letters = glibc.chars();
            let (first, second) = (letters.next().unwrap(), letters.next().unwrap());
            let expected = match first.is_ascii_uppercase() && second.is_ascii_lowercase() {
                true => format!("{}{second}{}", first.to_ascii_lowercase(), letters.as_str()),
                false => glibc.to_owned(),
            };
            if cfg!(target_env = "gnu") {
                assert_eq!(*words, expected, "{name}");
            }
        }
        assert_eq!(describe_errno(libc::EBUSY), "device or resource busy (EBUSY)");
        assert_eq!(describe_errno(libc::EMFILE), "too many open files (EMFILE)");
        assert_eq!(describe_errno(5000), "errno 5000");
        assert_eq!(describe_io(&std::io::Error::other("odd")), "odd");
    }

    /// What an errno prints by itself are the C library's words.
    #[test]
    fn nobody_prints_an_errno_in_other_words() {
        fn look(directory: &std::path::Path) {
            for entry in std::fs::read_dir(directory).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    look(&path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let own = path.ends_with("libcontainer/src/errno.rs");
                    assert!(own || !text.contains("{errno}"), "{}", path.display());
                }
            }
        }
        let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        look(&here.join("src"));
        look(&here.join("../runtime/src"));
    }
}
