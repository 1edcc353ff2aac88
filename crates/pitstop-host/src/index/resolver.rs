//! Names of servers, in a program that brings its own glibc.
//!
//! glibc asks the modules that `/etc/nsswitch.conf` names. Two of them, `files` and `dns`, are parts of libc since 2.34; all
//! others (`resolve`, `mymachines`, `hesiod`) it opens as libraries, and a static program would so take in the machine's libc,
//! which is of another version than its own and expects another loader. (Seen with strace: `hosts: hesiod files dns` has it
//! map the machine's `libc.so.6`.) So a static program asks the two that it has.

/// Has names looked up without any library of the machine. Does nothing where libc is one.
#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
#[expect(unsafe_code, reason = "glibc's own way to say it, which no crate wraps")]
pub(super) fn settle() {
    use std::ffi::{c_char, c_int};
    use std::sync::Once;

    unsafe extern "C" {
        fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
    }
    static SETTLED: Once = Once::new();
    // SAFETY: both are texts that end with a zero and live for ever; glibc locks its tables itself. Where it fails, names are
    // looked up as they would have been.
    SETTLED.call_once(|| unsafe {
        __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr());
    });
}

/// Has names looked up without any library of the machine. Does nothing where libc is one.
#[cfg(not(all(target_env = "gnu", target_feature = "crt-static")))]
pub(super) const fn settle() {}
