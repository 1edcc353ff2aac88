//! A log of Nix of any bytes: what is not understood is passed over, and what is shown moves no cursor.

pub(crate) fn run(bytes: &[u8]) {
    let (_, words) = pitstop_host::provide::nix::read_log(bytes);
    assert!(
        !words.contains(|letter: char| letter.is_control() && !matches!(letter, '\n' | '\t')),
        "{words:?}"
    );
}
