//! Lines for `xtask`, which counts them; see its `vm/verdict.rs`.

use std::io::Write;

/// A check passed.
pub fn ok(name: &str) {
    line(&format!("VM-TEST: ok {name}"));
}

/// A check failed.
pub fn failed(name: &str, why: &str) {
    line(&format!("VM-TEST: FAILED {name}: {}", why.replace('\n', " | ")));
}

/// All checks are done.
pub fn end() {
    line("VM-TEST: end");
}

/// For people.
pub fn say(text: &str) {
    line(&format!("  {text}"));
}

/// In one write, so that nothing comes between.
fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    // Without a console nobody could be told.
    let _ = out.write_all(format!("{text}\n").as_bytes());
    let _ = out.flush();
}
