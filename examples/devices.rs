//! Lists the adapters that wgpu finds, with their features and limits.
//!
//!     cargo run --example devices

use wgrad::gpu::AdapterInfo;
use wgrad::prelude::*;

fn main() {
    if let Err(error) = list() {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn list() -> Result<(), Box<dyn std::error::Error>> {
    for (number, adapter) in Gpu::adapters().into_iter().enumerate() {
        let AdapterInfo { name, backend, kind, driver, features, limits, subgroups } = adapter;
        println!("{number}: {name}");
        println!("   {kind:?}, through {backend}, driver {driver}");
        println!("   features  {}", features.join(" "));
        if let Some(sizes) = subgroups {
            println!("   subgroups of {} to {}", sizes.least, sizes.most);
        }
        for (limit, value) in limits {
            println!("   {limit:45} {value:>14}");
        }
    }
    println!("chosen: {}", Gpu::new()?.info());
    Ok(())
}
