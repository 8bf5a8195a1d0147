compile_error!("clone3 is written for x86_64, aarch64 and riscv64: another processor needs a file beside theirs");
