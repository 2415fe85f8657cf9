//! A shaded relief of real terrain: `docs/examples/hillshade.lz` in Rust.
//!
//! ```console
//! $ cargo run --release --example hillshade -- hillshade.png
//! ```

use lazuli::prelude::*;

fn main() {
    if let Err(e) = run() {
        eprintln!("error: {e}");
        std::process::exit(1);
    }
}

fn run() -> lazuli::Result<()> {
    let out = std::env::args().nth(1).unwrap_or_else(|| "hillshade.png".to_owned());
    let dem = lazuli::io::npz(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/data/jacksboro_dem.npz"))?;
    let elevation = dem.array("elevation")?;
    let (dx, dy) = (dem.array("dx")?, dem.array("dy")?);
    // Row 0 is the north edge.
    let (south, north) = (dem.array("ymin")?, dem.array("ymax")?);
    let top = south.maximum(&north);
    let rows = elevation.shape()?[0] as i64;

    // Cell sizes in metres. A degree of longitude shrinks with the cosine of the latitude.
    let row = Array::arange_step(1i64, rows - 1, 1i64);
    let latitude = top - (row + 0.5) * &dy;
    let degree = std::f64::consts::PI / 180.0;
    let width = (&dx * 111_320.0 * (latitude * degree).cos()).expand_dims(1);
    let height = &dy * 111_320.0;

    // Slopes to the east and to the north, from central differences.
    let z = elevation.astype(f32);
    let east = (z.slice(s![1..-1, 2..]) - z.slice(s![1..-1, ..-2])) / (2 * width);
    let north = (z.slice(s![..-2, 1..-1]) - z.slice(s![2.., 1..-1])) / (2 * height);

    // The angle of the ground, the direction it faces, and light from the north-west, 45 degrees high.
    let slope = east.hypot(&north).atan();
    let aspect = (-&east).atan2(-&north);
    let (zenith, towards) = (45.0 * degree, 315.0 * degree - aspect);
    let shade = zenith.cos() * slope.cos() + zenith.sin() * slope.sin() * towards.cos();
    let picture = shade.clip(0, 1).astype(f32).compute()?;
    lazuli::io::save(&out, &picture)?;
    println!("{out}: {} by {} pixels", picture.shape()[1], picture.shape()[0]);
    Ok(())
}
