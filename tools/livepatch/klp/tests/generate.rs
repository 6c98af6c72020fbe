// SPDX-License-Identifier: GPL-2.0

//! Man pages and completions.

mod common;

use std::fs;

use common::{klp, Tree};

#[test]
fn there_is_a_page_for_each_verb_and_a_completion_for_each_shell() {
    let tree = Tree::new();
    let dir = tree.path("out");
    let (code, out, err) = klp(&tree, &["generate", dir.to_str().unwrap()]);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "", ""));
    let (_, help, _) = klp(&tree, &["--help"]);
    let verbs = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help");
    for verb in verbs {
        let page = fs::read_to_string(dir.join(format!("man1/klp-{verb}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{verb}");
    }
    let page = fs::read_to_string(dir.join("man1/klp.1")).unwrap();
    assert!(page.contains("Exit codes:"), "{page}");
    for file in ["klp.bash", "_klp", "klp.fish"] {
        let text = fs::read_to_string(dir.join("completions").join(file)).unwrap();
        assert!(text.contains("verify"), "{file}");
    }
}
