//! The demo keeps what it claims.

use crate::program::Home;

#[tokio::test]
async fn every_claim_holds() {
    let home = Home::new();
    let ended = home.run(&["demo", "--once", "--rows", "500"]).await;
    assert_eq!(ended.code, 0, "{}\n{}", ended.out, ended.err);
    assert!(!ended.out.contains("FAIL"), "{}", ended.out);
    let last = ended.out.trim().lines().last().unwrap();
    assert!(last.starts_with("demo: all ") && last.contains("checks passed in"), "{last}");
    assert!(!home.path("config").exists(), "the demo touches nothing of the user's");
}

#[tokio::test]
async fn a_folder_that_is_not_its_own_is_left_alone() {
    let home = Home::new();
    std::fs::create_dir(home.path("mine")).unwrap();
    std::fs::write(home.path("mine/thesis.txt"), "ten years of work").unwrap();
    let ended = home.run(&["demo", "--once", "--data-dir", "mine"]).await;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(home.path("mine/thesis.txt").exists());
}
