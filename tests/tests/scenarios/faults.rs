//! (e6) What is away comes back, and what waited for it follows.

use std::time::Duration;

use tests::net::{Net, state, text_at};

#[tokio::test]
async fn a_node_away_for_a_while_gets_everything_when_it_is_back() {
    let net = Net::up().unwrap();
    let sender = net.state().await.unwrap();
    net.kill("cd-34").unwrap();
    let sent = sender.send_pdf("34172", "later").await.unwrap();
    let id = text_at(&sent, "/message_id");
    sender.until(&id, |m| state(m) == "relaying").await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    net.start(&[]).unwrap();
    net.town().await.unwrap().wait_for(&id).await.unwrap();
    sender.until(&id, |m| state(m) == "consigned").await.unwrap();
}
