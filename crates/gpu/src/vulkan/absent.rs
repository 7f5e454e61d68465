//! Platforms without Vulkan: there is never a driver to keep commands.

use std::sync::Arc;

use crate::device::Gpu;
use crate::error::Error;
use crate::launch::{Dispatch, Transfers};

#[derive(Debug)]
pub(crate) enum Context {}

impl Context {
    pub(crate) fn open(_: &wgpu::Device) -> Option<Arc<Self>> {
        None
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
    ) -> Result<Self, Error> {
        match **context {}
    }

    pub(crate) fn submit(&self, _: &Transfers<'_>) -> Result<wgpu::SubmissionIndex, Error> {
        match *self {}
    }
}
