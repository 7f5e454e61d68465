//! The colour pictures of an emoji font, sorted into folders by group.
//!
//! The font keeps a PNG of 136×128 pixels for each glyph (OpenType's CBDT table); a JSON file names the
//! group of each character.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use ttf_parser::{Face, RasterImageFormat};

use super::archive::{Files, pick, tar, tar_gz};
use crate::error::{Error, Result};

/// The folders. Flags are left out: nearly all of them are sequences of several characters.
pub(super) const GROUPS: [&str; 8] =
    ["activities", "animals", "food", "objects", "people", "smileys", "symbols", "travel"];

const FONT: &str = "NotoColorEmoji.ttf";
const NAMES: &str = "data-by-emoji.json";

#[derive(Deserialize)]
struct Emoji {
    slug: String,
    group: String,
}

/// `group/name.png` of each emoji that is a single character.
pub(super) fn files(font_package: &[u8], names_package: &[u8]) -> Result<Files> {
    let font = tar(font_package, |path| pick(path, "usr/share/fonts/truetype/noto", &[FONT]))?;
    let names = tar_gz(names_package, |path| pick(path, "package", &[NAMES]))?;
    let font = font.get(FONT).ok_or(Error::Incomplete { file: FONT })?;
    let names = names.get(NAMES).ok_or(Error::Incomplete { file: NAMES })?;
    let names: BTreeMap<String, Emoji> =
        serde_json::from_slice(names).map_err(|error| Error::io(Path::new(NAMES))(error.into()))?;
    let face = Face::parse(font, 0)
        .map_err(|error| Error::io(Path::new(FONT))(std::io::Error::other(error.to_string())))?;
    let file = |(text, emoji): (String, Emoji)| {
        let path = path(&emoji)?;
        let picture = picture(&face, single(&text)?)?;
        Some((path, picture.to_vec()))
    };
    Ok(names.into_iter().filter_map(file).collect())
}

/// `Food & Drink`, `hot_pepper` to `food/hot_pepper.png`.
fn path(emoji: &Emoji) -> Option<String> {
    let group = emoji.group.split_whitespace().next()?.to_lowercase();
    GROUPS.contains(&group.as_str()).then(|| format!("{group}/{}.png", emoji.slug))
}

/// The only character, not counting the selector that asks for a colour picture.
fn single(text: &str) -> Option<char> {
    let mut characters = text.chars().filter(|&character| character != '\u{fe0f}');
    characters.next().filter(|_| characters.next().is_none())
}

fn picture<'a>(face: &'a Face<'_>, character: char) -> Option<&'a [u8]> {
    let image = face.glyph_raster_image(face.glyph_index(character)?, u16::MAX)?;
    (image.format == RasterImageFormat::PNG).then_some(image.data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_groups_and_names() {
        let emoji = |group: &str| Emoji { slug: "hot_pepper".into(), group: group.into() };
        assert_eq!(path(&emoji("Food & Drink")).unwrap(), "food/hot_pepper.png");
        assert_eq!(path(&emoji("Flags")), None);
    }

    #[test]
    fn only_single_characters_count() {
        assert_eq!(single("😀"), Some('😀'));
        assert_eq!(single("☺️"), Some('☺'));
        assert_eq!(single("👩‍🚀"), None);
        assert_eq!(single(""), None);
    }

    #[test]
    fn a_font_that_is_none_is_an_error() {
        let names = super::super::archive::packed(&["package/data-by-emoji.json"]);
        let error = files(&[0; 1024], &names).unwrap_err();
        assert!(matches!(error, Error::Incomplete { file: FONT }), "{error}");
    }
}
