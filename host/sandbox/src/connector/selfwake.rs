//! Polls two halves that wake each other within one future.
//!
//! A request and the driver of its connection talk through channels. Each word wakes the task that both belong to
//! while it is being polled, and the runtime takes that for giving way: it wakes another thread to help, and polls the
//! task again from the end of its queue. Here such a wake-up is one more round, and nobody hears of it.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// Rounds within one poll; after them the task gives way, so that a peer that never pauses does not keep the thread.
const ROUNDS_MAX: usize = 8;

#[derive(Default)]
struct Bell {
    task: AtomicWaker,
    is_polling: AtomicBool,
    rang: AtomicBool,
}

/// Polls `round` to its end; it may be polled again though nothing outside has woken it.
pub(super) async fn quietly<T>(mut round: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    poll_fn(|task| {
        bell.task.register(task.waker());
        let mut context = Context::from_waker(&waker);
        bell.is_polling.store(true, SeqCst);
        for _ in 0..ROUNDS_MAX {
            // Not a store: it has to see what the one who rang did before.
            bell.rang.swap(false, SeqCst);
            if let done @ Poll::Ready(_) = round(&mut context) {
                return done;
            }
            if !bell.rang.load(SeqCst) {
                break;
            }
        }
        bell.is_polling.store(false, SeqCst);
        // It rang in the last round, or between that and here.
        if bell.rang.load(SeqCst) {
            task.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rang.store(true, SeqCst);
        if !self.is_polling.load(SeqCst) {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::pin, thread};

    use futures_util::task::noop_waker;
    use tokio::sync::oneshot;

    use super::*;

    #[derive(Default)]
    struct Counted(std::sync::atomic::AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn halves_that_wake_each_other_wake_nobody_else() {
        let counted = Arc::new(Counted::default());
        let waker = Waker::from(Arc::clone(&counted));
        let mut rounds = 0;
        let mut talking = pin!(quietly(|context| {
            rounds += 1;
            context.waker().wake_by_ref();
            if rounds < 5 { Poll::Pending } else { Poll::Ready(rounds) }
        }));
        assert_eq!(talking.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Ready(5));
        assert_eq!(counted.0.load(SeqCst), 0);
    }

    #[test]
    fn those_that_never_pause_give_way() {
        let counted = Arc::new(Counted::default());
        let waker = Waker::from(Arc::clone(&counted));
        let mut endless = pin!(quietly(|context| {
            context.waker().wake_by_ref();
            Poll::<()>::Pending
        }));
        assert!(endless.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(counted.0.load(SeqCst), 1);
    }

    #[test]
    fn one_who_waits_is_not_polled_for_nothing() {
        let mut rounds = 0;
        {
            let mut waiting = pin!(quietly(|_| {
                rounds += 1;
                Poll::<()>::Pending
            }));
            assert!(waiting.as_mut().poll(&mut Context::from_waker(&noop_waker())).is_pending());
        }
        assert_eq!(rounds, 1);
    }

    #[tokio::test]
    async fn a_wake_from_outside_is_never_lost() {
        for _ in 0..2_000 {
            let (send, mut receive) = oneshot::channel();
            let sender = thread::spawn(move || send.send(7));
            let received = quietly(|context| pin!(&mut receive).poll(context)).await;
            assert_eq!(received, Ok(7));
            sender.join().unwrap().unwrap();
        }
    }
}
