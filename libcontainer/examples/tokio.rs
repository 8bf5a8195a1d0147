//! Fifty containers at once from one thread of tokio's: `tokio BUNDLE`. What takes milliseconds runs where blocking is allowed; ends
//! are awaited by their pidfds.
use libcontainer::{Bundle, Child, CreateOptions, ExitStatus, Store};
use std::os::fd::AsFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::{JoinSet, spawn_blocking};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(fifty())
}

async fn fifty() -> Result<(), Failure> {
    let bundle = Bundle::open(std::env::args_os().nth(1).unwrap_or_else(|| ".".into()))?;
    let store = Store::open(std::env::temp_dir().join("libcontainer-tokio"))?;
    let mut running = JoinSet::new();
    for number in 0..50 {
        running.spawn(run(store.clone(), format!("tokio-{}-{number}", std::process::id()), bundle.clone()));
    }
    let mut succeeded = 0;
    while let Some(ended) = running.join_next().await {
        succeeded += u32::from(ended??.success());
    }
    say(&format!("{succeeded} of 50 succeeded"));
    Ok(())
}

async fn run(store: Store, id: String, bundle: Bundle) -> Result<ExitStatus, Failure> {
    let (container, init) = spawn_blocking(move || {
        let (container, init) = store.create(&id, &bundle, CreateOptions::new())?;
        match container.start() {
            Ok(()) => Ok((container, init)),
            Err(error) => container.force_delete().and(Err(error)),
        }
    })
    .await??;
    let ended = end_of(init).await;
    spawn_blocking(move || container.force_delete()).await??;
    ended
}

/// How a process ends. Nobody waits in a thread for it.
#[allow(deprecated, reason = "its successor takes unsafe code, for a promise that an OwnedFd keeps")]
async fn end_of(child: Child) -> Result<ExitStatus, Failure> {
    let ended = AsyncFd::with_interest(child.as_fd().try_clone_to_owned()?, Interest::READABLE)?;
    ended.readable().await?.retain_ready();
    Ok(child.wait()?)
}

#[allow(clippy::print_stdout, reason = "an example speaks")]
fn say(words: &str) {
    println!("{words}");
}
