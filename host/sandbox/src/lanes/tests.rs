use std::{
    sync::mpsc,
    task::Poll,
    time::{Duration, Instant},
};

use futures_util::future::{join_all, poll_fn};

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

fn lanes() -> Lanes {
    let engine = Engine::new(&crate::machine::compile_config()).unwrap();
    Lanes::start(&engine, &Handle::current()).unwrap()
}

#[tokio::test]
async fn every_future_runs_to_its_end() {
    let lanes = lanes();
    let tasks: Vec<_> = (0..1_000).map(|number| lanes.spawn(lanes.turn(), async move { number })).collect();
    let results: Vec<_> = join_all(tasks).await.into_iter().map(Option::unwrap).collect();
    assert_eq!(results, (0..1_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_sleeping_thread_is_woken() {
    let lanes = lanes();
    for _ in 0..20 {
        assert_eq!(lanes.spawn(lanes.turn(), async { 1 }).await, Some(1));
        while lanes.0.express.asleep() == 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_panic_ends_one_future_and_no_thread() {
    let lanes = lanes();
    for _ in 0..16 {
        assert_eq!(lanes.spawn(lanes.turn(), async { panic!("on purpose") }).await, None::<()>);
    }
    assert_eq!(lanes.spawn(lanes.turn(), async { 1 }).await, Some(1));
}

#[tokio::test]
async fn host_calls_find_their_runtime() {
    let lanes = lanes();
    let slept = lanes.spawn(lanes.turn(), async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        thread::current().name().map(str::to_owned)
    });
    assert!(slept.await.unwrap().unwrap().starts_with("cell-express"));
}

#[tokio::test]
async fn an_execution_that_gave_way_goes_on_in_the_long_lane() {
    let lanes = lanes();
    let turn = lanes.turn();
    let ticking = Arc::clone(&turn);
    let mut first = true;
    let name = lanes.spawn(
        turn,
        poll_fn(move |context| {
            if std::mem::take(&mut first) {
                while ticking.tick() == Tick::GoOn {}
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(thread::current().name().map(str::to_owned))
        }),
    );
    assert!(name.await.unwrap().unwrap().starts_with("cell-long"));
}

#[tokio::test]
async fn a_short_visit_ends_on_its_callers_thread() {
    let lanes = lanes();
    let visit = lanes.visit(lanes.turn(), async { thread::current().id() });
    assert!(visit.is_finished());
    assert_eq!(visit.await, Some(thread::current().id()));
}

#[tokio::test]
async fn a_long_visit_goes_on_in_the_express_lane() {
    let lanes = lanes();
    let turn = lanes.turn();
    let (ticking, mut ticks) = (Arc::clone(&turn), 0);
    let visit = lanes.visit(
        turn,
        poll_fn(move |context| {
            if ticks == 0 {
                ticks = 1;
                while ticking.tick() == Tick::GoOn {
                    ticks += 1;
                }
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready((ticks, thread::current().name().map(str::to_owned)))
        }),
    );
    let (ticks, name) = visit.await.unwrap();
    assert_eq!(ticks, VISIT_TICKS_MAX);
    assert!(name.unwrap().starts_with("cell-express"));
}

#[tokio::test]
async fn a_panic_ends_a_visit_and_not_its_caller() {
    let lanes = lanes();
    assert_eq!(lanes.visit(lanes.turn(), async { panic!("on purpose") }).await, None::<()>);
}

#[tokio::test]
async fn alone_an_execution_keeps_the_express_lane_for_its_slice() {
    let lanes = lanes();
    let turn = lanes.turn();
    for _ in 1..EXPRESS_TICKS_MAX {
        assert_eq!(turn.tick(), Tick::GoOn);
    }
    assert!(!turn.take_gave_way());
    assert_eq!(turn.tick(), Tick::GiveWay);
    assert!(turn.take_gave_way());
    assert!(turn.is_long());
    // Nobody waits in the long lane.
    for _ in 0..10 * LONG_TICKS {
        assert_eq!(turn.tick(), Tick::GoOn);
    }
}

#[tokio::test]
async fn a_stopped_execution_need_not_wait_for_its_turn() {
    let lanes = lanes();
    // Both threads of the long lane are taken.
    let (release, held) = mpsc::channel::<()>();
    let held = Arc::new(parking_lot::Mutex::new(held));
    let threads = thread::available_parallelism().map_or(2, usize::from);
    let holding: Vec<_> = (0..threads).map(|_| lanes.spawn(long(&lanes), hold(&held))).collect();
    let turn = long(&lanes);
    let waiting = lanes.spawn(Arc::clone(&turn), async { thread::current().name().map(str::to_owned) });
    let started = Instant::now();
    while lanes.0.long.is_empty() {
        assert!(started.elapsed() < PATIENCE);
        tokio::task::yield_now().await;
    }
    lanes.stop(&turn, StopReason::Cancelled);
    assert!(waiting.await.unwrap().unwrap().starts_with("cell-express"));
    drop(release);
    join_all(holding).await;
}

fn long(lanes: &Lanes) -> Arc<Turn> {
    let turn = lanes.turn();
    while turn.tick() == Tick::GoOn {}
    turn
}

fn hold(held: &Arc<parking_lot::Mutex<mpsc::Receiver<()>>>) -> impl Future<Output = ()> + Send + use<> {
    let held = Arc::clone(held);
    async move {
        let _ = held.lock().recv_timeout(PATIENCE);
    }
}

#[tokio::test]
async fn closed_lanes_drop_what_comes() {
    let lanes = lanes();
    lanes.close();
    assert_eq!(lanes.spawn(lanes.turn(), async { 1 }).await, None);
}

#[tokio::test]
async fn leftovers_are_dropped_and_do_not_hold_the_result_up() {
    struct Tells(mpsc::Sender<Option<String>>);
    impl Drop for Tells {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().name().map(str::to_owned));
        }
    }
    let lanes = lanes();
    let (tell, told) = mpsc::channel();
    let result = lanes.spawn(lanes.turn(), async move {
        drop_later(Box::new(Tells(tell)));
        1
    });
    assert_eq!(result.await, Some(1));
    assert!(told.recv_timeout(PATIENCE).unwrap().unwrap().starts_with("cell-express"));
}

#[tokio::test]
async fn a_visit_goes_on_among_its_callers_after_a_host_call() {
    let lanes = lanes();
    let visit = lanes.visit(lanes.turn(), async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        thread::current().id()
    });
    // This runtime has the one thread.
    assert_eq!(visit.await, Some(thread::current().id()));
}

#[tokio::test]
async fn a_visit_that_waits_can_be_stopped() {
    let lanes = lanes();
    let turn = lanes.turn();
    let stopped = Arc::clone(&turn);
    let visit = lanes.visit(
        Arc::clone(&turn),
        poll_fn(move |context| {
            stopped.stop.waker.register(context.waker());
            stopped.stop.reason().map_or(Poll::Pending, Poll::Ready)
        }),
    );
    assert!(!visit.is_finished());
    lanes.stop(&turn, StopReason::Cancelled);
    assert_eq!(visit.await, Some(StopReason::Cancelled));
}
