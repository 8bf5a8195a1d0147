compile_error!("init has an entry point for x86_64, aarch64 and riscv64: another processor needs a file beside theirs");
