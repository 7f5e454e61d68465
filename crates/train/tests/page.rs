//! The page of a training: sound markup, everything in it, nothing from outside taken for markup.

#[path = "net/mod.rs"]
mod net;

use std::fs;

use net::{fit, tumours};
use tempfile::TempDir;
use wgrad_core::Vars;
use wgrad_optim::Adam;
use wgrad_train::{Average, Confusion, ConfusionMatrix, LogProblem, Objective, Report, TrainError, Trainer};

/// The page of a report, parsed.
fn page(report: &Report) -> String {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("new/report.html");
    report.html(&path).unwrap();
    fs::read_to_string(path).unwrap()
}

/// Parses a page as XML, which it is too; nothing in it may come from elsewhere.
fn parse(page: &str) -> roxmltree::Document<'_> {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(page, options).unwrap();
    for node in document.descendants() {
        assert!(!["script", "link", "img", "iframe", "object"].contains(&node.tag_name().name()));
        assert!(node.attributes().all(|attribute| !["src", "href"].contains(&attribute.name())));
    }
    document
}

fn headings(document: &roxmltree::Document<'_>) -> Vec<String> {
    let headings = document.descendants().filter(|node| node.tag_name().name() == "h2");
    headings.filter_map(|node| node.text()).map(String::from).collect()
}

#[test]
fn a_page_shows_the_whole_training() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("new/report.html");
    let (train, test) = tumours();
    let vars = Vars::new();
    let net = net::Net::new(&vars);
    let trainer = Trainer::new(&net::GPU, &vars, Adam::new(3e-3)).epochs(3).progress(false).report(&path);
    let fit = trainer.fit(&train, &test, |x, y| {
        let logits = net.forward(x);
        Objective::classification(&logits, y).metric("a<b", Confusion::new(&logits, y).f1(Average::Macro))
    });
    let report = fit.unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let document = parse(&text);
    let headings = headings(&document);
    for expected in ["Curves", "Epochs", "Confusion", "Time", "Kernels of a training step", "Run"] {
        assert!(headings.iter().any(|heading| heading == expected), "{expected} in {headings:?}");
    }
    let count = |tag: &str| document.descendants().filter(|node| node.tag_name().name() == tag).count();
    // A curve for the loss and for each of two metrics, and the picture of the plan.
    assert_eq!(count("svg"), 4);
    assert!(text.contains("a&lt;b") && !text.contains("a<b"));
    let matrix = report.confusion.as_ref().unwrap();
    assert_eq!(matrix.total(), 114);
    assert!(text.contains(&format!("label 0, predicted 0: {}", matrix.count(0, 0))));
    match &report.profile.as_ref().unwrap().roofline {
        Ok(roofline) => assert!(text.contains(&format!("{} kernels take", roofline.kernels.len()))),
        Err(error) => assert!(text.contains("could not be timed"), "{error}"),
    }
}

/// Profiling trains nothing: the state is that of a training without.
#[test]
fn a_profile_leaves_the_state_alone() {
    let with = fit(|trainer| trainer.profile(true)).unwrap();
    let without = fit(|trainer| trainer).unwrap();
    assert_eq!(net::bits(&with.state), net::bits(&without.state));
    assert!(with.profile.is_some() && without.profile.is_none());
}

#[test]
fn a_page_without_a_profile_says_so() {
    let report = fit(|trainer| trainer).unwrap();
    let text = page(&report);
    parse(&text);
    assert!(text.contains("The kernels were not timed"));
}

#[test]
fn many_classes_are_shades_and_still_more_a_list() {
    let mut report = fit(|trainer| trainer.steps(2)).unwrap();
    for (classes, numbers, listed) in
        [(3, true, false), (32, true, false), (33, false, false), (101, false, true)]
    {
        // Every record right but three.
        let mut counts = vec![0; classes * classes];
        (0..classes).for_each(|class| counts[class * (classes + 1)] = 1000);
        counts[classes - 1] = 3;
        report.confusion = ConfusionMatrix::new(classes, counts);
        let text = page(&report);
        parse(&text);
        assert_eq!(text.contains("<td class=\"right\""), !listed, "{classes} classes");
        assert_eq!(text.contains("<th>precision</th>"), numbers, "{classes} classes");
        assert_eq!(text.contains("taken for"), listed, "{classes} classes");
    }
    report.confusion = ConfusionMatrix::new(0, vec![]);
    parse(&page(&report));
}

#[test]
fn a_page_that_cannot_be_written_is_an_error_before_training() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let path = dir.path().join("file/report.html");
    let error = fit(|trainer| trainer.report(&path)).err().unwrap();
    let TrainError::Log(error) = error else { panic!("{error}") };
    assert!(matches!(error.problem, LogProblem::Io(_)), "{error}");
    assert_eq!(error.path, path);
}
