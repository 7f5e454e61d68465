//! Platforms without Vulkan: there is never a driver to keep commands.

use std::sync::{Arc, Mutex};

use crate::device::Gpu;
use crate::error::Error;
use crate::launch::{Dispatch, Transfers};
use crate::ticket::Ticket;

#[derive(Debug)]
pub(crate) enum Context {}

impl Context {
    pub(crate) fn open(_: &wgpu::Device, _: Option<&Arc<Mutex<()>>>) -> Option<Arc<Self>> {
        None
    }

    pub(crate) fn reads_texels(&self) -> bool {
        match *self {}
    }

    pub(crate) fn buffer(&self, _: &wgpu::BufferDescriptor<'_>) -> Result<Option<wgpu::Buffer>, Error> {
        match *self {}
    }

    pub(crate) fn submitted(&self) -> u64 {
        match *self {}
    }

    pub(crate) fn over(&self) -> u64 {
        match *self {}
    }

    pub(crate) fn wait(&self, _: u64) -> Result<(), Error> {
        match *self {}
    }
}

#[derive(Debug)]
pub(crate) enum Cache {}

impl Cache {
    /// # Safety
    ///
    /// None: there is no driver.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn new(context: &Arc<Context>, _: &[u8]) -> Result<Self, Error> {
        match **context {}
    }

    pub(crate) fn data(&self) -> Option<Vec<u8>> {
        match *self {}
    }
}

#[derive(Debug)]
pub(crate) enum Pipeline {}

impl Pipeline {
    pub(crate) fn new(
        context: &Arc<Context>,
        _: &str,
        _: usize,
        _: bool,
        _: bool,
        _: Option<&Cache>,
    ) -> Result<Self, Error> {
        match **context {}
    }
}

#[derive(Debug)]
pub(crate) enum Commands {}

impl Commands {
    pub(crate) fn new(
        _: &Gpu,
        context: &Arc<Context>,
        _: &[Dispatch<'_>],
        _: &[&wgpu::Buffer],
        _: bool,
    ) -> Result<Self, Error> {
        match **context {}
    }

    pub(crate) fn ticks(&self) -> Result<Vec<u64>, Error> {
        match *self {}
    }

    pub(crate) fn submit(&self, _: Transfers) -> Result<Ticket, Error> {
        match *self {}
    }
}
