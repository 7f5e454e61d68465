//! The loader: order, padding, errors, and threads that end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use wgrad_core::batch::{Batch, BatchAllocator, BatchError, BatchMemory, HostMemory, Layout, RECORDS};
use wgrad_core::{F32, TensorSpec, U32};
use wgrad_data::{DataError, Dataset, Loader, Record, Subset, TensorDataset, digits};

/// Each record is its own number; some are bad.
#[derive(Clone, Default)]
struct Numbers {
    len: usize,
    bad: Option<usize>,
    panics: Option<usize>,
    nameless: bool,
    slow: bool,
}

impl Numbers {
    fn new(len: usize) -> Self {
        Self { len, ..Self::default() }
    }
}

impl Dataset for Numbers {
    fn len(&self) -> usize {
        self.len
    }

    fn fields(&self) -> Vec<(String, TensorSpec)> {
        vec![("number".into(), TensorSpec::new(U32, []))]
    }

    fn name(&self, record: usize) -> Option<String> {
        assert!(!self.nameless, "record {record} has no name");
        None
    }

    fn write(&self, record: usize, sink: &mut Record<'_>) -> Result<(), DataError> {
        assert_ne!(Some(record), self.panics, "record {record} is cursed");
        if self.slow && record.is_multiple_of(8) {
            std::thread::sleep(Duration::from_millis(5));
        }
        if self.bad == Some(record) {
            sink.write("number", &[1f32])
        } else {
            sink.write("number", &[record as u32])
        }
    }
}

fn bytes(batch: &Batch) -> Vec<u8> {
    batch.memory.as_any().downcast_ref::<HostMemory>().expect("host memory").0[..batch.layout.bytes()]
        .to_vec()
}

fn values(batch: &Batch, name: &str) -> Vec<f64> {
    let field = batch.layout.get(name).expect("the field exists");
    field.spec.dtype.decode(&bytes(batch)[field.offset..field.offset + field.spec.bytes()])
}

fn numbers(batch: &Batch) -> Vec<u32> {
    values(batch, "number").into_iter().map(|number| number as u32).collect()
}

fn epoch(loader: &Loader, epoch: u64) -> Vec<Vec<u32>> {
    loader.epoch(epoch).map(|batch| numbers(&batch.unwrap())).collect()
}

#[test]
fn order_is_a_function_of_seed_and_epoch() {
    let plain = Loader::new(Numbers::new(10), 5);
    assert_eq!(epoch(&plain, 3), [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]);
    let shuffled = plain.shuffle(7);
    let first = epoch(&shuffled, 0);
    assert_eq!(first, epoch(&shuffled, 0));
    assert_ne!(first, epoch(&shuffled, 1));
    assert_ne!(first, epoch(&shuffled.clone().shuffle(8), 0));
    let mut all = first.concat();
    all.sort_unstable();
    assert_eq!(all, (0..10).collect::<Vec<u32>>());
}

#[test]
fn any_number_of_workers_gives_the_same_bytes() {
    let load = |workers, prefetch| {
        let loader = Loader::new(digits(), 50).shuffle(3).workers(workers).prefetch(prefetch);
        loader.epoch(2).map(|batch| bytes(&batch.unwrap())).collect::<Vec<_>>()
    };
    let expected = load(0, 0);
    assert_eq!(expected.len(), 36);
    for (workers, prefetch) in [(1, 0), (1, 1), (1, 9), (4, 0), (4, 2), (4, 100), (4, usize::MAX), (64, 3)] {
        assert!(load(workers, prefetch) == expected, "{workers} workers, {prefetch} ahead");
    }
}

#[test]
fn slow_batches_are_still_handed_over_in_order() {
    let loader = Loader::new(Numbers { slow: true, ..Numbers::new(64) }, 4).workers(4).prefetch(6);
    assert_eq!(epoch(&loader, 0).concat(), (0..64).collect::<Vec<u32>>());
}

#[test]
fn last_batch_is_padded_from_the_start_or_dropped() {
    let loader = Loader::new(Numbers::new(7), 3).pad_last();
    assert_eq!(epoch(&loader, 0), [[0, 1, 2], [3, 4, 5], [6, 0, 1]]);
    assert_eq!([0, 1, 2, 3].map(|batch| loader.records(batch)), [3, 3, 1, 0]);
    let counted = |loader: &Loader| -> Vec<_> {
        loader.epoch(0).map(|batch| values(&batch.unwrap(), RECORDS)).collect()
    };
    assert_eq!(counted(&loader), [[3.0, 3.0], [3.0, 3.0], [1.0, 3.0]]);
    let shuffled = epoch(&loader.clone().shuffle(1), 0);
    assert_eq!(shuffled[2][1..], shuffled[0][..2]);
    let dropped = loader.drop_last();
    assert_eq!(epoch(&dropped, 0), [[0, 1, 2], [3, 4, 5]]);
    assert_eq!(dropped.batches().unwrap(), 2);
    let tiny = Loader::new(Numbers::new(2), 5);
    assert_eq!(epoch(&tiny, 0), [[0, 1, 0, 1, 0]]);
    assert_eq!(counted(&tiny), [[2.0, 5.0]]);
}

/// The only item must be an error.
fn only_error(loader: &Loader) -> DataError {
    let mut items = loader.epoch(0);
    let error = items.next().unwrap().err().unwrap();
    assert!(items.next().is_none());
    error
}

#[test]
fn impossible_loaders_say_why() {
    let data = Numbers::new(10);
    assert!(matches!(only_error(&Loader::new(Numbers::new(0), 4)), DataError::Empty));
    assert!(matches!(only_error(&Loader::new(data.clone(), 0)), DataError::BatchSize));
    let error = only_error(&Loader::new(data, 11).drop_last());
    assert!(matches!(error, DataError::BatchTooLarge { batch_size: 11, records: 10 }));
    assert!(error.to_string().contains("pad_last"), "{error}");
}

#[test]
fn a_bad_record_ends_the_epoch_with_its_number() {
    for workers in [0, 1, 4] {
        let loader = Loader::new(Numbers { bad: Some(13), ..Numbers::new(40) }, 4).workers(workers);
        let items: Vec<_> = loader.epoch(0).collect();
        assert_eq!(items.len(), 4, "three good batches and the error");
        assert!(items[..3].iter().all(Result::is_ok));
        let error = items[3].as_ref().err().unwrap();
        assert_eq!(error.to_string(), "record 13: `number` is u32[] in each record, got 1 values of f32");
    }
}

#[test]
fn a_panicking_record_ends_the_epoch_with_its_number() {
    for workers in [0, 1, 4] {
        let loader = Loader::new(Numbers { panics: Some(5), ..Numbers::new(40) }, 4).workers(workers);
        let error = loader.epoch(0).nth(1).unwrap().err().unwrap();
        assert!(matches!(error, DataError::Record { record: 5, .. }));
        assert!(error.to_string().contains("record 5 is cursed"), "{error}");
    }
}

#[test]
fn a_panic_on_the_way_to_an_error_ends_the_epoch() {
    let data = Numbers { bad: Some(5), nameless: true, ..Numbers::new(40) };
    for workers in [0, 1, 2] {
        let items: Vec<_> = Loader::new(data.clone(), 4).workers(workers).epoch(0).collect();
        assert_eq!(items.len(), 2, "a good batch and the error");
        let error = items[1].as_ref().err().unwrap();
        assert_eq!(error.to_string(), "the dataset panicked: record 5 has no name");
    }
}

#[test]
fn fields_must_be_declared_and_written() {
    #[derive(Clone)]
    struct Careless(&'static [&'static str]);
    impl Dataset for Careless {
        fn len(&self) -> usize {
            1
        }
        fn fields(&self) -> Vec<(String, TensorSpec)> {
            vec![("a".into(), TensorSpec::new(F32, [2])), ("b".into(), TensorSpec::new(F32, [2]))]
        }
        fn write(&self, _: usize, sink: &mut Record<'_>) -> Result<(), DataError> {
            self.0.iter().try_for_each(|field| sink.write(field, &[0f32, 0.0]))
        }
    }
    assert!(Loader::new(Careless(&["b", "a"]), 1).epoch(0).all(|batch| batch.is_ok()));
    let error = only_error(&Loader::new(Careless(&["a"]), 1));
    assert_eq!(error.to_string(), "record 0: `b` was not written");
    let error = only_error(&Loader::new(Careless(&["a", "b", "c"]), 1));
    assert_eq!(error.to_string(), "record 0: there is no field `c`; the dataset declares `a`, `b`");
}

/// A ring of a few pieces of memory, like staging buffers: `allocate` waits until one comes back.
struct Ring {
    free: Mutex<Receiver<()>>,
    back: SyncSender<()>,
    given: AtomicUsize,
}

struct Lent(HostMemory, SyncSender<()>);

impl Ring {
    fn new(slots: usize) -> Arc<Self> {
        let (back, free) = sync_channel(slots);
        (0..slots).for_each(|_| back.send(()).unwrap());
        Arc::new(Self { free: Mutex::new(free), back, given: AtomicUsize::new(0) })
    }
}

impl BatchAllocator for Ring {
    fn allocate(&self, layout: &Arc<Layout>) -> Result<Box<dyn BatchMemory>, BatchError> {
        self.free.lock().unwrap().recv().unwrap();
        self.given.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Lent(HostMemory(vec![0xFF; layout.bytes()]), self.back.clone())))
    }
}

impl BatchMemory for Lent {
    fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<(), BatchError> {
        self.0.write(offset, bytes)
    }
    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any + Send> {
        self
    }
    fn as_any(&self) -> &dyn std::any::Any {
        &self.0
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let _ = self.1.send(());
    }
}

#[test]
fn one_piece_of_memory_is_enough_for_many_workers() {
    let ring = Ring::new(1);
    let data = Numbers { slow: true, ..Numbers::new(64) };
    let loader = Loader::new(data, 4).workers(4).prefetch(8).allocator(ring.clone());
    assert_eq!(epoch(&loader, 0).concat(), (0..64).collect::<Vec<u32>>());
    assert_eq!(ring.given.load(Ordering::Relaxed), 16);
}

#[test]
fn dropping_the_iterator_stops_threads_that_wait_for_memory() {
    let ring = Ring::new(2);
    let data = Arc::new(Numbers::new(1000));
    let loader = Loader::new(data.clone(), 4).workers(4).prefetch(50).allocator(ring.clone());
    let mut batches = loader.epoch(0);
    let held = batches.next().unwrap().unwrap();
    drop(batches); // One piece of memory is in our hands: the workers compete for the other.
    drop(loader);
    drop(held);
    let start = Instant::now();
    while Arc::strong_count(&data) > 1 {
        assert!(start.elapsed() < Duration::from_secs(20), "a loader thread is still alive");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(ring.given.load(Ordering::Relaxed) < 20, "the threads went on filling");
}

#[test]
fn threads_are_gone_when_the_epoch_is_over() {
    let data = Arc::new(Numbers::new(40));
    for _ in 0..100 {
        let loader = Loader::new(data.clone(), 4).workers(3);
        assert_eq!(loader.epoch(0).count(), 10);
        drop(loader);
        assert_eq!(Arc::strong_count(&data), 1);
    }
}

#[test]
fn prefetch_bounds_the_work_ahead() {
    let ring = Ring::new(100);
    let loader = Loader::new(Numbers::new(400), 4).workers(2).prefetch(5).allocator(ring.clone());
    let mut batches = loader.epoch(0);
    let _first = batches.next();
    std::thread::sleep(Duration::from_millis(100));
    assert!((1..=6).contains(&ring.given.load(Ordering::Relaxed)));
}

#[test]
fn memory_that_refuses_ends_the_epoch() {
    struct Full;
    impl BatchAllocator for Full {
        fn allocate(&self, _: &Arc<Layout>) -> Result<Box<dyn BatchMemory>, BatchError> {
            Err(BatchError::Unavailable("the device is gone".into()))
        }
    }
    for workers in [0, 2] {
        let error = only_error(&Loader::new(Numbers::new(8), 4).workers(workers).allocator(Arc::new(Full)));
        assert!(error.to_string().contains("the device is gone"), "{error}");
    }
}

#[test]
fn arrays_and_subsets_keep_their_values() {
    let points: Vec<f32> = (0..12).map(|v| v as f32).collect();
    let data = TensorDataset::new().field("number", [6], &[5u32, 4, 3, 2, 1, 0]).unwrap();
    let data = data.field("point", [6, 2], &points).unwrap();
    let subset = Subset::new(data.clone(), [4, 1]).unwrap();
    let batch = Loader::new(subset.clone(), 2).epoch(0).next().unwrap().unwrap();
    assert_eq!(numbers(&batch), [1, 4]);
    assert_eq!(values(&batch, "point"), [8.0, 9.0, 2.0, 3.0]);

    let error = Subset::new(data.clone(), [2, 6]).err().unwrap();
    assert!(matches!(error, DataError::NoSuchRecord { record: 6, records: 6 }));
    let error = data.clone().field("weight", [5], &[0f32; 5]).err().unwrap();
    assert_eq!(error.to_string(), "`weight` has 5 records, the others have 6");
    assert!(matches!(data.field("weight", [6], &[0f32; 5]), Err(DataError::Mismatch { .. })));
    assert!(matches!(TensorDataset::new().field("scalar", [], &[0f32]), Err(DataError::Mismatch { .. })));
}

#[test]
fn an_epoch_can_start_in_the_middle() {
    for workers in [0, 2] {
        let loader = Loader::new(Numbers::new(43), 4).shuffle(9).workers(workers);
        let whole = epoch(&loader, 2);
        for first in [0, 1, 10, 11, 12] {
            let rest: Vec<_> = loader.epoch_from(2, first).map(|batch| numbers(&batch.unwrap())).collect();
            assert_eq!(rest, whole[first.min(11)..]);
        }
    }
}

/// Which record stands in for a bad one does not depend on the number of workers.
#[test]
fn bad_records_are_skipped_where_asked() {
    for workers in [0, 1, 4] {
        let data = Numbers { bad: Some(5), panics: Some(6), ..Numbers::new(12) };
        let loader = Loader::new(data, 4).workers(workers).skip_bad();
        assert_eq!(epoch(&loader, 0), [[0, 1, 2, 3], [4, 7, 7, 7], [8, 9, 10, 11]]);
        let skipped = loader.skipped();
        assert_eq!(skipped.len(), 2);
        assert!(matches!(skipped[0], DataError::Record { record: 5, .. }));
        assert!(skipped[1].to_string().starts_with("record 6: the dataset panicked"), "{}", skipped[1]);
    }
    let hopeless = Loader::new(Subset::new(Numbers { bad: Some(0), ..Numbers::new(1) }, [0, 0]).unwrap(), 1);
    assert!(matches!(only_error(&hopeless.skip_bad()), DataError::Record { .. }));
}

#[test]
fn errors_call_records_by_their_names() {
    #[derive(Clone)]
    struct Files;
    impl Dataset for Files {
        fn len(&self) -> usize {
            3
        }
        fn fields(&self) -> Vec<(String, TensorSpec)> {
            vec![("x".into(), TensorSpec::new(F32, []))]
        }
        fn name(&self, record: usize) -> Option<String> {
            Some(format!("cat{record}.png"))
        }
        fn write(&self, _: usize, _: &mut Record<'_>) -> Result<(), DataError> {
            Ok(())
        }
    }
    let error = only_error(&Loader::new(Subset::new(Files, [2]).unwrap(), 1));
    assert_eq!(error.to_string(), "record 0 (cat2.png): `x` was not written");
}

#[test]
fn waiting_is_measured() {
    let loader = Loader::new(Numbers { slow: true, ..Numbers::new(32) }, 8).workers(0);
    assert_eq!(loader.stalled(), Duration::ZERO);
    assert_eq!(loader.epoch(0).count(), 4);
    assert!(loader.stalled() >= Duration::from_millis(4 * 5), "{:?}", loader.stalled());
}
