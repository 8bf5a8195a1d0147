//! `--log`, `--log-format`, `--log-level`: a logger in the shape of runc's (logrus), which engines parse.
//!
//! A line is one write(2) to a file opened with O_APPEND, and
//! control characters are escaped: what a container's config says can neither forge a line nor command a terminal.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::SystemTime;

#[derive(Debug, Default)]
struct Logger {
    file: Option<PathBuf>,
    /// `journald:ID` or `syslog:ID`.
    service: Option<(Service, String)>,
    json: bool,
    opened: OnceLock<Option<File>>,
}

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Takes note of the flags.
pub(crate) fn configure(invocation: &Invocation) -> Result<(), Failure> {
    let json = match invocation.text("log-format")? {
        None | Some("text") => false,
        Some("json") => true,
        Some(other) => return Err(Failure::new(format!("invalid log-format: {other}"))),
    };
    let level = match invocation.text("log-level")? {
        _ if invocation.is_set("debug") => LevelFilter::Debug,
        None | Some("warning") => LevelFilter::Warn,
        Some("error") => LevelFilter::Error,
        Some("info") => LevelFilter::Info,
        Some("debug") => LevelFilter::Debug,
        Some(other) => return Err(Failure::new(format!("invalid log-level: {other}"))),
    };
    let (file, service) = destination(invocation.path("log"));
    if let Some(path) = &file {
        // A log that cannot be written must not be found out about when there is something to log. It is closed again:
        // what --preserve-fds passes on was opened by the caller.
        open(path).map_err(|error| Failure::io(&format!("open {}", path.display()), &error))?;
    }
    let logger = LOGGER.get_or_init(|| Logger { file, service, json, opened: OnceLock::new() });
    if log::set_logger(logger).is_ok() {
        log::set_max_level(level);
    }
    Ok(())
}

/// A service of the host that keeps logs.
#[derive(Debug, Clone, Copy)]
enum Service {
    Journald,
    Syslog,
}

/// What `--log` names: a file, by its path or after `file:`; the journal or the system log, under a name, as in crun.
fn destination(log: Option<PathBuf>) -> (Option<PathBuf>, Option<(Service, String)>) {
    let text = log.as_deref().and_then(std::path::Path::to_str).unwrap_or_default();
    match text.split_once(':') {
        Some(("file", path)) => (Some(path.into()), None),
        Some(("journald", name)) => (None, Some((Service::Journald, name.to_owned()))),
        Some(("syslog", name)) => (None, Some((Service::Syslog, name.to_owned()))),
        _ => (log, None),
    }
}

/// One datagram. Whether the service is there is not ours to care about, as with syslog(3).
fn to_service(service: Service, name: &str, level: Level, message: &str) -> std::io::Result<()> {
    let priority = match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    };
    // Neither a container's words nor a name may add a field, or a line.
    let clean = visible(message);
    let identifier = visible(if name.is_empty() { "plimsoll" } else { name });
    let socket = UnixDatagram::unbound()?;
    match service {
        // systemd.journal-fields(7)
        Service::Journald => {
            let entry = format!("MESSAGE={clean}\nPRIORITY={priority}\nSYSLOG_IDENTIFIER={identifier}\n");
            socket.send_to(entry.as_bytes(), "/run/systemd/journal/socket")
        }
        // RFC 3164, without the time, which whoever receives it knows; facility 3 is that of daemons.
        Service::Syslog => {
            let line = format!("<{}>{identifier}[{}]: {clean}", 3 << 3 | priority, std::process::id());
            socket.send_to(line.as_bytes(), "/dev/log")
        }
    }
    .map(drop)
}

/// A FIFO that nobody reads is an error, not a wait.
fn open(path: &std::path::Path) -> std::io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    File::options().append(true).create(true).mode(0o644).custom_flags(flags).open(path)
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let message = record.args().to_string();
            let sent =
                self.service.as_ref().map(|(service, name)| to_service(*service, name, record.level(), &message));
            if matches!(sent, Some(Ok(_))) {
                return;
            }
            let line = line(self.json, record.level(), &message, SystemTime::now(), "");
            if !self.to_file(&line) {
                to_stderr(&line);
            }
        }
    }

    fn flush(&self) {}
}

impl Logger {
    /// Whether there is a log file, and the line is in it.
    fn to_file(&self, line: &str) -> bool {
        let Some(path) = &self.file else { return false };
        // may fail: standard error has it then.
        let file = self.opened.get_or_init(|| open(path).ok()).as_ref();
        // may fail: as above.
        file.is_some_and(|mut file| file.write_all(line.as_bytes()).is_ok())
    }
}

/// Logs what the program fails with. Returns whether a log file took it.
pub(crate) fn failure(message: &str, origin: Option<&str>, errno: Option<i32>) -> bool {
    let Some(logger) = LOGGER.get() else {
        return false;
    };
    let mut more = String::new();
    if let Some(origin) = origin.filter(|_| logger.json) {
        let _ = write!(more, ",\"origin\":{}", json(origin));
    }
    if let Some(errno) = errno.filter(|_| logger.json) {
        let _ = write!(more, ",\"errno\":\"{:?}\"", nix::errno::Errno::from_raw(errno));
    }
    if let Some((service, name)) = &logger.service {
        return to_service(*service, name, Level::Error, message).is_ok();
    }
    logger.file.is_some() && logger.to_file(&line(logger.json, Level::Error, message, SystemTime::now(), &more))
}

/// The failure as a log line on standard error.
pub(crate) fn line_to_stderr(message: &str) {
    let json = LOGGER.get().is_some_and(|logger| logger.json);
    to_stderr(&line(json, Level::Error, message, SystemTime::now(), ""));
}

/// A line on standard error as it is.
pub(crate) fn plainly(message: &str) {
    to_stderr(&(visible(message) + "\n"));
}

fn to_stderr(line: &str) {
    // Nobody is left to hear that standard error is closed.
    // may fail: there is nowhere else to say so.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

fn line(as_json: bool, level: Level, message: &str, time: SystemTime, more: &str) -> String {
    let level = match level {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug | Level::Trace => "debug",
    };
    let time = humantime::format_rfc3339_seconds(time);
    if as_json {
        return format!("{{\"level\":\"{level}\",\"msg\":{},\"time\":\"{time}\"{more}}}\n", json(message));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/@^+".contains(&byte);
    let mut line = format!("time=\"{time}\" level={level} msg=");
    if !message.is_empty() && message.bytes().all(plain) {
        line.push_str(message);
    } else {
        line.push('"');
        for part in message.split_inclusive(['"', '\\']) {
            let quoted = part.strip_suffix(['"', '\\']).unwrap_or(part);
            escape(&mut line, quoted);
            if let Some(quote) = part.strip_prefix(quoted).filter(|quote| !quote.is_empty()) {
                line.push('\\');
                line.push_str(quote);
            }
        }
        line.push('"');
    }
    line.push('\n');
    line
}

/// What can be shown to people as one line.
pub(crate) fn visible(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    escape(&mut line, text);
    line
}

/// Control characters as Go's `%q` writes them.
fn escape(line: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            _ if letter.is_control() || ('\u{2028}'..='\u{202e}').contains(&letter) => {
                let _ = write!(line, "\\u{:04x}", u32::from(letter));
            }
            _ => line.push(letter),
        }
    }
}

fn json(text: &str) -> serde_json::Value {
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_a_file_or_a_service() {
        let of = |text: &str| format!("{:?}", destination(Some(text.into())));
        assert_eq!(of("/var/log/x"), r#"(Some("/var/log/x"), None)"#);
        assert_eq!(of("file:/var/log/x"), r#"(Some("/var/log/x"), None)"#);
        assert_eq!(of("journald:web"), r#"(None, Some((Journald, "web")))"#);
        assert_eq!(of("syslog:"), r#"(None, Some((Syslog, "")))"#);
        assert_eq!(of("odd:name"), r#"(Some("odd:name"), None)"#);
    }

    #[test]
    fn a_text_line_is_the_one_logrus_writes() {
        let line = |message| line(false, Level::Error, message, SystemTime::UNIX_EPOCH, "");
        assert_eq!(line("two words"), "time=\"1970-01-01T00:00:00Z\" level=error msg=\"two words\"\n");
        assert_eq!(line("word"), "time=\"1970-01-01T00:00:00Z\" level=error msg=word\n");
        assert_eq!(line(""), "time=\"1970-01-01T00:00:00Z\" level=error msg=\"\"\n");
        assert_eq!(
            line("exec: \"sh\": no\\such file"),
            "time=\"1970-01-01T00:00:00Z\" level=error msg=\"exec: \\\"sh\\\": no\\\\such file\"\n"
        );
    }

    #[test]
    fn a_message_cannot_forge_a_line_nor_command_a_terminal() {
        let text = line(false, Level::Error, "a\nlevel=error msg=b\u{1b}[2J\u{202e}", SystemTime::UNIX_EPOCH, "");
        assert_eq!(text, "time=\"1970-01-01T00:00:00Z\" level=error msg=\"a\\nlevel=error msg=b\\u001b[2J\\u202e\"\n");
        let text = line(true, Level::Error, "a\n\"b\"\u{1b}", SystemTime::UNIX_EPOCH, "");
        assert_eq!(text, "{\"level\":\"error\",\"msg\":\"a\\n\\\"b\\\"\\u001b\",\"time\":\"1970-01-01T00:00:00Z\"}\n");
    }
}
