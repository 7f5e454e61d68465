//! A picture in memory that charts are drawn on, with an embedded font.

use std::convert::Infallible;
use std::error::Error;

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};
use plotters::drawing::DrawingAreaErrorKind;
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{BackendColor, BackendCoord, BackendTextStyle, DrawingBackend, DrawingErrorKind};

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

/// Draws on RGB pixels, the first row on top. Lines and shapes are rasterised by the drawing library.
pub(crate) struct Canvas<'a> {
    size: (u32, u32),
    pixels: &'a mut [u8],
}

/// The picture that `draw` makes on a white canvas, as a PNG file.
pub(crate) fn png(
    size: (u32, u32),
    draw: impl FnOnce(Canvas<'_>) -> Result<(), DrawingAreaErrorKind<Infallible>>,
) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut pixels = vec![255; size.0 as usize * size.1 as usize * 3];
    draw(Canvas { size, pixels: &mut pixels })?;
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, size.0, size.1);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(file)
}

impl Canvas<'_> {
    fn blend(&mut self, (x, y): BackendCoord, (r, g, b): (u8, u8, u8), alpha: f64) {
        let (width, height) = (self.size.0 as i32, self.size.1 as i32);
        if !(0..width).contains(&x) || !(0..height).contains(&y) {
            return;
        }
        let start = 3 * (y as usize * width as usize + x as usize);
        for (pixel, color) in self.pixels[start..start + 3].iter_mut().zip([r, g, b]) {
            let (below, above) = (f64::from(*pixel), f64::from(color));
            *pixel = (below + (above - below) * alpha.clamp(0.0, 1.0)).round() as u8;
        }
    }
}

/// The embedded raster nearest to a font size; a raster is a quarter higher than its font.
fn raster_height(size: f64) -> RasterHeight {
    if size <= 20.0 { RasterHeight::Size20 } else { RasterHeight::Size24 }
}

fn text_size(text: &str, height: RasterHeight) -> (i32, i32) {
    let width = get_raster_width(FontWeight::Regular, height) * text.chars().count();
    (width as i32, height.val() as i32)
}

impl DrawingBackend for Canvas<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, at: BackendCoord, color: BackendColor) -> Drawn {
        self.blend(at, color.rgb, color.alpha);
        Ok(())
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        style: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        let (width, height) = text_size(text, raster_height(style.size()));
        Ok((width as u32, height as u32))
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, at: BackendCoord) -> Drawn {
        let raster_height = raster_height(style.size());
        let (width, height) = text_size(text, raster_height);
        let left = match style.anchor().h_pos {
            HPos::Left => at.0,
            HPos::Center => at.0 - width / 2,
            HPos::Right => at.0 - width,
        };
        let top = match style.anchor().v_pos {
            VPos::Top => at.1,
            VPos::Center => at.1 - height / 2,
            VPos::Bottom => at.1 - height,
        };
        let color = style.color();
        for (position, character) in text.chars().enumerate() {
            let raster = get_raster(character, FontWeight::Regular, raster_height);
            let Some(raster) = raster.or_else(|| get_raster('?', FontWeight::Regular, raster_height)) else {
                continue;
            };
            let left = left + (position * raster.width()) as i32;
            for (y, row) in raster.rows().enumerate() {
                for (x, &ink) in row.iter().enumerate() {
                    let alpha = color.alpha * f64::from(ink) / 255.0;
                    self.blend((left + x as i32, top + y as i32), color.rgb, alpha);
                }
            }
        }
        Ok(())
    }
}
