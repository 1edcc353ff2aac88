//! Scripts: what their first line has the kernel start, and the same text with another first line.
//!
//! The rules are those of Linux (`fs/binfmt_script.c`): behind `#!` and blanks stands a path up to the next blank; all that
//! follows, but for blanks at the end, is one argument.

use bstr::{BStr, BString, ByteSlice};

/// The longest first line that every kernel takes (`BINPRM_BUF_SIZE` was 128 before Linux 5.1).
const LINE_BYTES_MAX: usize = 127;

/// The first line of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shebang {
    /// What it names, as it is written. A carriage return at its end is a part of it: the kernel takes it so too.
    pub program: BString,
    /// The one argument that the program gets before the script's path.
    pub argument: Option<BString>,
    /// Where the script's second line begins.
    rest: usize,
}

/// What a script is written for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WrittenFor {
    /// Python 3, of whatever minor version.
    Python,
    /// Python 2.
    OldPython,
    /// A program of this name.
    Program(String),
}

/// Why a script cannot have another first line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// Only Python takes lines that end so.
    #[error("its lines end in CR LF, which only Python takes")]
    LineEnds,
    /// The kernel would cut it off.
    #[error("the path {0} is too long, or has blanks, for a first line")]
    Path(BString),
    /// A shell could not be told it either.
    #[error("the path {0} has characters that a shell would not leave alone")]
    Quoting(BString),
    /// Python looks for it in the first two lines alone, and a second line has to come before it.
    #[error("the path {0} is too long for a first line, and the second line names an encoding")]
    Encoding(BString),
}

impl Shebang {
    /// Reads the beginning of a file. `None` where it is no script, or where its first line is not whole.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let line = text.strip_prefix(b"#!")?;
        let end = line.find_byte(b'\n')?;
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let line_end = line[..end].iter().rposition(|byte| !blank(byte)).map_or(0, |last| last + 1);
        let start = line[..line_end].iter().position(|byte| !blank(byte))?;
        let line = &line[start..line_end];
        let (program, more) = line.split_at(line.iter().position(blank).unwrap_or(line.len()));
        let argument = more.iter().position(|byte| !blank(byte)).map(|start| BString::from(&more[start..]));
        Some(Self { program: program.into(), argument, rest: 2 + end + 1 })
    }

    /// What the script is written for, by the name of the program.
    #[must_use]
    pub fn written_for(&self) -> WrittenFor {
        let path = self.program.strip_suffix(b"\r").unwrap_or(&self.program);
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        let version = name.strip_prefix(b"python");
        let is_version = |version: &&[u8]| version.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
        match version.filter(is_version) {
            Some(version) if version == b"2" || version.starts_with(b"2.") => WrittenFor::OldPython,
            Some(_) => WrittenFor::Python,
            None => WrittenFor::Program(name.to_str_lossy().into_owned()),
        }
    }

    /// The script `text`, to which this line belongs, with `program` in the place of what it names.
    ///
    /// What a first line cannot hold is told to a shell, in lines that are a string to Python, as installers of wheels do.
    pub fn with_program(&self, text: &[u8], program: &BStr) -> Result<Vec<u8>, ScriptError> {
        let rest = text.get(self.rest..).unwrap_or_default();
        let argument =
            self.argument.as_ref().map(|argument| argument.strip_suffix(b"\r").unwrap_or(argument));
        let argument = argument.filter(|argument| !argument.is_empty());
        let python = self.written_for() == WrittenFor::Python;
        if !python && text[..self.rest].ends_with(b"\r\n") {
            return Err(ScriptError::LineEnds);
        }
        let mut line = [b"#!".as_slice(), program].concat();
        if let Some(argument) = argument {
            line = [&line, b" ".as_slice(), argument].concat();
        }
        if line.len() < LINE_BYTES_MAX && !program.contains_str(" ") && !program.contains_str("\t") {
            return Ok([&line, b"\n".as_slice(), rest].concat());
        }
        if !python {
            return Err(ScriptError::Path(program.to_owned()));
        }
        let is_odd = |byte: &u8| matches!(byte, b'"' | b'$' | b'`' | b'\\' | b'\'' | b'\n' | b'\r');
        if program.iter().chain(argument.unwrap_or_default()).any(is_odd) {
            return Err(ScriptError::Quoting(program.to_owned()));
        }
        let second = rest.lines().next().unwrap_or_default().to_ascii_lowercase();
        if second.starts_with(b"#") && second.contains_str("coding") && !second.contains_str("utf") {
            return Err(ScriptError::Encoding(program.to_owned()));
        }
        let argument = argument.map(|argument| [b" \"", argument, b"\""].concat()).unwrap_or_default();
        let parts = [
            b"#!/bin/sh\n'''exec' \"".as_slice(),
            program,
            b"\"",
            &argument,
            b" \"$0\" \"$@\"\n' '''\n",
            rest,
        ];
        Ok(parts.concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<(String, Option<String>)> {
        let line = Shebang::parse(text.as_bytes())?;
        Some((line.program.to_string(), line.argument.map(|argument| argument.to_string())))
    }

    #[test]
    fn a_first_line_is_read_as_the_kernel_reads_it() {
        let plain = |program: &str| Some((program.to_owned(), None));
        let with = |program: &str, argument: &str| Some((program.to_owned(), Some(argument.to_owned())));
        assert_eq!(parsed("#!/bin/bash\n"), plain("/bin/bash"));
        assert_eq!(parsed("#! \t/bin/bash \t\nx"), plain("/bin/bash"));
        assert_eq!(parsed("#!/usr/bin/env -S a  b \n"), with("/usr/bin/env", "-S a  b"));
        assert_eq!(parsed("#!/usr/bin/python3\r\n"), plain("/usr/bin/python3\r"));
        for no in ["", "#", "#!", "#!\n", "#! \n", "#!/bin/sh", "\u{feff}#!/bin/sh\n", " #!/bin/sh\n"] {
            assert_eq!(parsed(no), None, "{no:?}");
        }
    }

    #[test]
    fn what_a_script_is_written_for_is_told_by_a_name() {
        let of = |program: &str| Shebang::parse(format!("#!{program}\n").as_bytes()).unwrap().written_for();
        for python in
            ["/usr/bin/python3", "/usr/bin/python", "python", "/opt/bin/python3.12", "/bin/python3\r"]
        {
            assert_eq!(of(python), WrittenFor::Python, "{python:?}");
        }
        assert_eq!(of("/usr/bin/python2"), WrittenFor::OldPython);
        assert_eq!(of("/usr/bin/python2.7"), WrittenFor::OldPython);
        for other in ["bash", "pypy3", "python-config", "ipython3"] {
            assert_eq!(of(&format!("/usr/bin/{other} -x")), WrittenFor::Program(other.to_owned()));
        }
    }

    fn rewritten(text: &str, program: &str) -> Result<String, ScriptError> {
        let line = Shebang::parse(text.as_bytes()).unwrap();
        let bytes = line.with_program(text.as_bytes(), program.into())?;
        Ok(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn only_the_first_line_changes() {
        assert_eq!(rewritten("#!/bin/bash\necho\n", "/s/bash"), Ok("#!/s/bash\necho\n".to_owned()));
        assert_eq!(rewritten("#!/usr/bin/perl  -w\nx", "/s/perl"), Ok("#!/s/perl -w\nx".to_owned()));
        let python = "#!/usr/bin/python3\r\nx\r\n";
        assert_eq!(rewritten(python, "/v/python"), Ok("#!/v/python\nx\r\n".to_owned()));
        assert_eq!(rewritten("#!/bin/bash\r\nx\r\n", "/s/bash"), Err(ScriptError::LineEnds));
    }

    #[test]
    fn a_path_that_no_first_line_holds_is_told_to_a_shell() {
        let long = format!("/{}/python", "x".repeat(130));
        let expected = format!("#!/bin/sh\n'''exec' \"{long}\" \"-u\" \"$0\" \"$@\"\n' '''\nimport x\n");
        assert_eq!(rewritten("#!/usr/bin/python3 -u\nimport x\n", &long), Ok(expected));
        assert!(rewritten("#!/usr/bin/python3\n", "/a b/python").unwrap().contains("\"/a b/python\""));
        assert_eq!(rewritten("#!/bin/bash\n", "/a b/bash"), Err(ScriptError::Path("/a b/bash".into())));
        let quoting = rewritten("#!/usr/bin/python3\n", "/a $b/python");
        assert_eq!(quoting, Err(ScriptError::Quoting("/a $b/python".into())));
        let latin = "#!/usr/bin/python3\n# -*- coding: latin-1 -*-\n";
        assert_eq!(rewritten(latin, &long), Err(ScriptError::Encoding(long.as_str().into())));
        assert!(rewritten("#!/usr/bin/python3\n# coding: utf-8\n", &long).is_ok());
    }
}
