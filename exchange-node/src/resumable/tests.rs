use exchange_store::content::FsContent;
use futures::{StreamExt as _, stream};
use signing::digest::sha256;
use signing::encrypt::open_all;

use super::*;
use crate::upload::Announced;

const MEMBER: &str = "iso6523:0009:1";

struct Ground {
    home: tempfile::TempDir,
    content: Arc<dyn Content>,
    storage: Arc<StorageKey>,
}

impl Ground {
    async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let content: Arc<dyn Content> = Arc::new(FsContent::open(home.path()).await.unwrap());
        Self { home, content, storage: Arc::new(StorageKey::from_slice(&[7; 32]).unwrap()) }
    }

    /// As after a start of the node.
    fn uploads(&self) -> Uploads {
        let dir = self.home.path().join("uploads");
        Uploads::new(dir, Arc::clone(&self.content), Arc::clone(&self.storage)).unwrap()
    }

    fn left(&self) -> usize {
        fs::read_dir(self.home.path().join("uploads")).unwrap().count()
    }

    async fn plain(&self, row: &Upload) -> Vec<u8> {
        use futures::TryStreamExt as _;
        let stream = self.content.read(&row.cipher_sha256, 0, None).await.unwrap();
        let cipher: Vec<bytes::Bytes> = stream.try_collect().await.unwrap();
        let key = self.storage.unwrap(&row.wrapped_key, row.id.0.as_bytes()).unwrap();
        open_all(&key, &cipher.concat()).unwrap()
    }
}

fn new(media_type: &str, sha256: Option<schemas::digest::Digest>) -> New {
    New {
        member: MEMBER.to_owned(),
        announced: Announced {
            name: "acte.pdf".to_owned(),
            media_type: media_type.to_owned(),
            sha256,
            max_size: 1 << 20,
        },
        length: None,
        at: Timestamp::from_millis(1),
        expires: Timestamp::from_millis(1_000),
    }
}

fn document(length: usize) -> Vec<u8> {
    let mut all = b"%PDF-1.4\n".to_vec();
    all.extend((0..length).map(|i| ((i * i) >> 7) as u8));
    all
}

type Piece = Result<bytes::Bytes, String>;

fn pieces(bytes: &[u8]) -> impl futures::Stream<Item = Piece> + Unpin + use<> {
    let all: Vec<Piece> =
        bytes.chunks(10_000).map(|c| Ok(bytes::Bytes::copy_from_slice(c))).collect();
    stream::iter(all)
}

#[tokio::test]
async fn an_upload_cut_anywhere_and_taken_up_by_a_new_process_is_the_document() {
    let ground = Ground::new().await;
    let whole = document(300_000);
    let chunk = signing::encrypt::CHUNK;
    let cuts = [0, 1, 1_023, 1_024, chunk - 1, chunk, chunk + 1, 2 * chunk, 200_000, 200_000];
    let uploads = ground.uploads();
    let turn = uploads.create(new("application/pdf", Some(sha256(&whole)))).await.unwrap();
    let id = turn.state.id;
    drop(turn);
    let mut at = 0;
    for cut in cuts {
        let uploads = ground.uploads();
        let mut turn = uploads.turn(id, MEMBER).await.unwrap().unwrap();
        assert_eq!(turn.state.offset, at as u64);
        let appended = turn.append(pieces(&whole[at..cut]), false).await.unwrap();
        assert_eq!(appended, Appended::Waiting);
        at = cut;
    }
    let uploads = ground.uploads();
    let mut turn = uploads.turn(id, MEMBER).await.unwrap().unwrap();
    assert_eq!(turn.append(pieces(&whole[at..]), true).await.unwrap(), Appended::Finished);
    let row = turn.finished().await.unwrap().unwrap();
    assert_eq!((row.size, row.sha256), (whole.len() as u64, sha256(&whole)));
    assert_eq!(ground.plain(&row).await, whole);
    turn.forget().unwrap();
    assert_eq!(ground.left(), 0);
}

#[tokio::test]
async fn what_arrived_before_a_break_is_kept_and_the_same_process_goes_on() {
    let ground = Ground::new().await;
    let (uploads, whole) = (ground.uploads(), document(200_000));
    let mut turn = uploads.create(new("application/pdf", None)).await.unwrap();
    let broken = pieces(&whole[..150_000]).chain(stream::iter([Err("gone".to_owned())]));
    let stopped = turn.append(broken, true).await.unwrap_err();
    assert!(matches!(stopped, Stopped::Broken(_)), "{stopped:?}");
    let id = turn.state.id;
    drop(turn);
    let mut turn = uploads.turn(id, MEMBER).await.unwrap().unwrap();
    assert_eq!(turn.state.offset, 150_000);
    turn.append(pieces(&whole[150_000..]), true).await.unwrap();
    let row = turn.finished().await.unwrap().unwrap();
    assert_eq!(ground.plain(&row).await, whole);
}

#[tokio::test]
async fn octets_behind_the_last_durable_ones_do_not_count() {
    let ground = Ground::new().await;
    let (uploads, whole) = (ground.uploads(), document(200_000));
    let mut turn = uploads.create(new("application/pdf", None)).await.unwrap();
    turn.append(pieces(&whole[..140_000]), false).await.unwrap();
    let (id, cipher) = (turn.state.id, turn.state.cipher(&uploads.dir));
    drop(turn);
    // As a kill leaves it: ciphertext that no state counts.
    std::io::Write::write_all(
        &mut fs::OpenOptions::new().append(true).open(cipher).unwrap(),
        &[9; 70_000],
    )
    .unwrap();
    let uploads = ground.uploads();
    let mut turn = uploads.turn(id, MEMBER).await.unwrap().unwrap();
    turn.append(pieces(&whole[140_000..]), true).await.unwrap();
    assert_eq!(ground.plain(&turn.finished().await.unwrap().unwrap()).await, whole);
}

#[tokio::test]
async fn chunks_that_nobody_lived_to_count_are_counted_and_never_enciphered_twice() {
    let ground = Ground::new().await;
    let (uploads, whole) = (ground.uploads(), document(300_000));
    let mut turn = uploads.create(new("application/pdf", None)).await.unwrap();
    turn.append(pieces(&whole[..100]), false).await.unwrap();
    let id = turn.state.id;
    let state = uploads.dir.join(format!("{}.state", id.0));
    let early = fs::read(&state).unwrap();
    turn.append(pieces(&whole[100..240_000]), false).await.unwrap();
    drop(turn);
    fs::write(&state, early).unwrap();
    let uploads = ground.uploads();
    let mut turn = uploads.turn(id, MEMBER).await.unwrap().unwrap();
    assert_eq!(turn.state.offset, 3 * signing::encrypt::CHUNK as u64);
    let at = turn.state.offset as usize;
    turn.append(pieces(&whole[at..]), true).await.unwrap();
    assert_eq!(ground.plain(&turn.finished().await.unwrap().unwrap()).await, whole);
}

#[tokio::test]
async fn rules_hold_and_leave_nothing() {
    let ground = Ground::new().await;
    let uploads = ground.uploads();
    let whole = document(5_000);
    let mut wrong_type = uploads.create(new("image/png", None)).await.unwrap();
    let mut wrong_digest =
        uploads.create(new("application/pdf", Some(sha256(b"else")))).await.unwrap();
    let mut too_large = uploads.create(new("application/pdf", None)).await.unwrap();
    assert!(matches!(wrong_type.append(pieces(&whole), false).await, Err(Stopped::Refused(_))));
    assert!(matches!(wrong_digest.append(pieces(&whole), true).await, Err(Stopped::Refused(_))));
    let large = document(2 << 20);
    assert!(matches!(too_large.append(pieces(&large), true).await, Err(Stopped::Refused(_))));
    assert_eq!(ground.left(), 0);
}

#[tokio::test]
async fn another_members_upload_is_not_there_and_an_old_one_goes() {
    let ground = Ground::new().await;
    let uploads = ground.uploads();
    let turn = uploads.create(new("application/pdf", None)).await.unwrap();
    let id = turn.state.id;
    drop(turn);
    assert!(uploads.turn(id, "somebody else").await.unwrap().is_none());
    assert!(uploads.sweep(Timestamp::from_millis(999)).await.unwrap().is_empty());
    assert!(uploads.turn(id, MEMBER).await.unwrap().is_some());
    assert!(uploads.sweep(Timestamp::from_millis(1_000)).await.unwrap().is_empty());
    assert!(uploads.turn(id, MEMBER).await.unwrap().is_none());
    assert_eq!(ground.left(), 0);
}

#[tokio::test]
async fn a_length_that_was_announced_holds() {
    let ground = Ground::new().await;
    let (uploads, whole) = (ground.uploads(), document(991));
    let said = New { length: Some(1_000), ..new("application/pdf", None) };
    let mut turn = uploads.create(said).await.unwrap();
    let short = turn.append(pieces(&whole[..900]), true).await;
    assert!(matches!(short, Err(Stopped::Length { announced: 1_000, found: 900 })), "{short:?}");
    turn.state = State::read(&uploads.dir, turn.state.id).unwrap().unwrap();
    assert_eq!(turn.append(pieces(&whole[900..]), true).await.unwrap(), Appended::Finished);
}

#[tokio::test]
async fn who_comes_later_interrupts() {
    let ground = Ground::new().await;
    let uploads = Arc::new(ground.uploads());
    let whole = document(2_000);
    let turn = uploads.create(new("application/pdf", None)).await.unwrap();
    let id = turn.state.id;
    drop(turn);
    let (first, start) = (Arc::clone(&uploads), whole[..1_500].to_vec());
    let slow = tokio::spawn(async move {
        let mut turn = first.turn(id, MEMBER).await.unwrap().unwrap();
        let never = stream::pending::<Piece>();
        turn.append(pieces(&start).chain(never), true).await
    });
    while !slow.is_finished() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        let turn = uploads.turn(id, MEMBER).await.unwrap().unwrap();
        if turn.state.offset == 1_500 {
            break;
        }
    }
    let stopped = slow.await.unwrap();
    assert!(matches!(stopped, Err(Stopped::Broken(_))), "{stopped:?}");
}
