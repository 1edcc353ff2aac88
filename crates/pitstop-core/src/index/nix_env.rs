//! What `nix-env -qaP --out-path --xml` prints: every attribute of a package set with its outputs.

use std::io::BufRead;

use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::{BytesStart, Event};

use super::{Origin, Package, StorePath};

/// Why a list of packages cannot be read, and at which byte.
#[derive(Debug, thiserror::Error)]
#[error("at byte {offset}: {reason}")]
pub struct NixEnvError {
    /// Where, in the XML.
    pub offset: u64,
    /// What is wrong.
    pub reason: NixEnvReason,
}

/// What is wrong with a list of packages.
#[derive(Debug, thiserror::Error)]
pub enum NixEnvReason {
    /// It is no XML, or cannot be read.
    #[error("{0}")]
    Xml(#[from] quick_xml::Error),
    /// It is XML, but of something else, or cut short.
    #[error("it is no list of packages: {0}")]
    Shape(&'static str),
    /// An attribute of the XML is not there.
    #[error("`{element}` has no `{attribute}`")]
    Missing {
        /// The element.
        element: &'static str,
        /// The attribute.
        attribute: &'static str,
    },
    /// An output that is no path of the store.
    #[error("`{0}` is no path of the store")]
    Path(String),
}

/// The most bytes of the XML that one tag may take; real ones take a few hundred.
const TAG_BYTES_MAX: usize = 1 << 20;

/// Gives every output of every package to `each`, in the order of the list.
///
/// Outputs of a store other than `store_dir` are an error, for a binary cache serves one store only. Packages whose
/// outputs are not said (they do not evaluate) are passed over, as `nix-env` itself does.
pub fn read(input: impl BufRead, store_dir: &str, mut each: impl FnMut(Package)) -> Result<(), NixEnvError> {
    let mut reader = Reader::from_reader(input);
    let mut buffer = Vec::new();
    let mut item: Option<(String, Option<String>)> = None;
    let mut inside = false;
    let mut complete = false;
    loop {
        buffer.clear();
        let read = reader.read_event_into(&mut buffer).map_err(NixEnvReason::from);
        let step = read.and_then(|event| {
            if event.len() > TAG_BYTES_MAX {
                return Err(NixEnvReason::Shape("a tag is longer than a megabyte"));
            }
            match &event {
                Event::Start(tag) | Event::Empty(tag) => match tag.name().as_ref() {
                    "items" => inside = true,
                    "item" if inside => {
                        item = Some((required(tag, "item", "attrPath")?, attribute(tag, "system")?));
                    }
                    "output" if inside => {
                        let (attr, system) =
                            item.as_ref().ok_or(NixEnvReason::Shape("an output of nothing"))?;
                        each(package(tag, attr, system.as_ref(), store_dir)?);
                    }
                    _ if inside => {}
                    _ => return Err(NixEnvReason::Shape("it does not begin with `items`")),
                },
                Event::End(tag) => match tag.name().as_ref() {
                    "item" => item = None,
                    "items" => complete = true,
                    _ => {}
                },
                Event::Eof if complete => return Ok(true),
                Event::Eof => return Err(NixEnvReason::Shape("it ends too early")),
                _ => {}
            }
            // An empty set is `<items />`.
            complete |= matches!(&event, Event::Empty(tag) if tag.name().as_ref() == "items");
            Ok(false)
        });
        match step {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(reason) => return Err(NixEnvError { offset: reader.buffer_position(), reason }),
        }
    }
}

fn package(
    tag: &BytesStart<'_>,
    attr: &str,
    system: Option<&String>,
    store_dir: &str,
) -> Result<Package, NixEnvReason> {
    let output = required(tag, "output", "name")?;
    let path = required(tag, "output", "path")?;
    let path = StorePath::parse(&path, store_dir).ok_or(NixEnvReason::Path(path))?;
    let origin = Origin { attribute: attr.to_owned(), output, toplevel: true, system: system.cloned() };
    Ok(Package { path, origin })
}

fn required(tag: &BytesStart<'_>, element: &'static str, name: &'static str) -> Result<String, NixEnvReason> {
    attribute(tag, name)?.ok_or(NixEnvReason::Missing { element, attribute: name })
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Result<Option<String>, NixEnvReason> {
    let Some(found) = tag.try_get_attribute(name).map_err(quick_xml::Error::from)? else { return Ok(None) };
    Ok(Some(unescape(&found.value).map_err(quick_xml::Error::from)?.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"<?xml version='1.0' encoding='utf-8'?>
<items>
  <item attrPath="acl" name="acl-2.3.1" outputName="bin" pname="acl" system="x86_64-linux" version="2.3.1">
    <output name="bin" path="/nix/store/0123456789abcdfghijklmnpqrsvwxyz-acl-2.3.1-bin" />
    <output name="out" path="/nix/store/1123456789abcdfghijklmnpqrsvwxyz-acl-2.3.1" />
  </item>
  <item attrPath="gtk&quot;x" name="gtk-1">
    <output name="out" path="/nix/store/2123456789abcdfghijklmnpqrsvwxyz-gtk-1" />
  </item>
</items>
"#;

    fn packages(text: &str) -> Result<Vec<Package>, NixEnvError> {
        let mut found = Vec::new();
        read(text.as_bytes(), "/nix/store", |package| found.push(package)).map(|()| found)
    }

    #[test]
    fn every_output_is_a_package() {
        let found = packages(LIST).unwrap();
        let said: Vec<String> = found
            .iter()
            .map(|package| {
                format!("{}.{} {}", package.origin.attribute, package.origin.output, package.path.name)
            })
            .collect();
        assert_eq!(said, ["acl.bin acl-2.3.1-bin", "acl.out acl-2.3.1", "gtk\"x.out gtk-1"]);
        assert_eq!(found[0].origin.system.as_deref(), Some("x86_64-linux"));
        assert_eq!(found[2].origin.system, None);
        assert!(packages("<items />").unwrap().is_empty());
    }

    #[test]
    fn a_list_cut_short_is_an_error() {
        for length in 0..LIST.trim_end().len() {
            assert!(packages(&LIST[..length]).is_err(), "{length}: {}", &LIST[..length]);
        }
    }

    #[test]
    fn what_is_no_list_of_packages_is_an_error() {
        let error = |text: &str| packages(text).unwrap_err().to_string();
        assert!(error("<html></html>").contains("it does not begin with `items`"));
        assert!(error(r#"<items><output name="out" path="x"/></items>"#).contains("an output of nothing"));
        assert!(error("<items><item></item></items>").contains("`item` has no `attrPath`"));
        assert!(error(&LIST.replace("/nix/store/0", "/gnu/store/0")).contains("is no path of the store"));
    }
}
