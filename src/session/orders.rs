//! What is asked of a capture that runs, by whoever watches it. Unlike [`super::Joining`], nobody who
//! may ask keeps it going.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{self, Receiver, SyncSender};

use super::Over;
use super::filtering::Answer;
use crate::capture::CompiledFilter;
use crate::waker::Waker;

/// Orders that wait for a session whose reader holds it up.
const MOST_WAITING: usize = 8;

/// Something asked of a capture.
pub enum Order {
    /// Leave out packets from this time on, nanoseconds since the epoch.
    Pause(u64),
    /// Take them again from this time on.
    GoOn(u64),
    /// Take those only that pass this filter, from now on. Each answer is handed over as it comes.
    Filter(CompiledFilter, Box<dyn FnMut(Answer) + Send>),
}

/// Tells a session what is asked of it.
#[derive(Clone, Debug)]
pub struct Orders {
    orders: SyncSender<Order>,
    bell: Waker,
}

/// The session's end of [`Orders`].
#[derive(Debug)]
pub struct Ordered {
    told: Receiver<Order>,
    bell: Waker,
}

/// A way to ask something of a capture while it runs.
///
/// Fails when the process has no file descriptors left.
pub fn orders() -> io::Result<(Orders, Ordered)> {
    let bell = Waker::new()?;
    let (orders, told) = mpsc::sync_channel(MOST_WAITING);
    Ok((Orders { orders, bell: bell.clone() }, Ordered { told, bell }))
}

impl Orders {
    /// Asks for `order`; waits where many wait already.
    ///
    /// Fails when the capture is over.
    pub fn ask(&self, order: Order) -> Result<(), Over> {
        self.orders.send(order).map_err(|_| Over)?;
        self.bell.wake();
        Ok(())
    }
}

impl Ordered {
    /// Makes it readable by the next order only; those before it have to be asked for afterwards.
    pub(super) fn hush(&self) {
        self.bell.clear();
    }

    /// The next order, if there is one now.
    pub(super) fn next(&self) -> Option<Order> {
        self.told.try_recv().ok()
    }
}

/// Readable when there may be an order.
impl AsFd for Ordered {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
