fn main() {
    let a: Vec<String> = std::env::args().collect();
    let store = libcontainer::Store::open("/tmp/plimsoll-root").unwrap();
    let r = (|| -> libcontainer::Result<()> {
        match a[1].as_str() {
            "run" => {
                let b = libcontainer::Bundle::open(&a[3])?;
                let mut c = store.create(&a[2], &b, &Default::default())?;
                c.start()?;
                let s = c.child().unwrap().wait()?;
                eprintln!("status {s}");
                c.delete(false)?;
            }
            "create" => { store.create(&a[2], &libcontainer::Bundle::open(&a[3])?, &Default::default())?; }
            "start" => store.load(&a[2])?.start()?,
            "state" => println!("{:?}", store.load(&a[2])?.state()?),
            "kill" => store.load(&a[2])?.kill(9, false)?,
            "delete" => store.load(&a[2])?.delete(true)?,
            "exec" => {
                let c = store.load(&a[2])?;
                let p = libcontainer::Bundle::process_from_slice(format!(r#"{{"cwd":"/","user":{{"uid":0,"gid":0}},"args":["sh","-c",{:?}]}}"#, a[3]).as_bytes())?;
                eprintln!("status {}", c.exec(&p, &Default::default())?.wait()?);
            }
            _ => {}
        }
        Ok(())
    })();
    if let Err(e) = r { eprintln!("error: {e}"); std::process::exit(1) }
}
