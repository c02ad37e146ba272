import HeraldCore
import Testing

@testable import HeraldCloud
@testable import HeraldSockets

/// Transcripts of what happens to one key, with the time moved by hand.
struct KeyLaneTests {
    @Test func `a session is announced when its bind is answered`() {
        var lane = KeyLaneTranscript()
        lane.claim(1)
        #expect(lane.next() == .bind(lane.session(1), lane.incarnation))
        #expect(lane.bound(epoch: 100) == [.announce(lane.socket(1))])
        #expect(lane.next() == nil)
        #expect(lane.lane.isSettled(at: lane.now))
    }

    @Test func `a closed session's mapping is taken out exactly`() {
        var lane = KeyLaneTranscript.live(1, epoch: 100)
        lane.close(1)
        #expect(lane.next() == .unbind(lane.mapping(1, epoch: 100)))
        lane.unbound()
        #expect(lane.lane.isEmpty)
    }

    @Test func `a session that closes while its bind is under way is unbound, and nobody is told of it`() {
        var lane = KeyLaneTranscript()
        lane.claim(1)
        _ = lane.next()
        #expect(lane.close(1) == [])
        #expect(lane.next() == nil)
        #expect(lane.bound(epoch: 100, replaced: lane.foreign) == [])
        #expect(lane.next() == .unbind(lane.mapping(1, epoch: 100)))
        lane.unbound()
        #expect(lane.lane.isEmpty)
    }

    @Test func `the one replaced on another node is told`() {
        var lane = KeyLaneTranscript()
        lane.claim(1)
        _ = lane.next()
        #expect(
            lane.bound(epoch: 100, replaced: lane.foreign) == [
                .announce(lane.socket(1)), .tell(lane.foreign),
            ]
        )
    }

    @Test func `the one replaced by a bind that was superseded meanwhile is told with the next`() {
        var lane = KeyLaneTranscript()
        lane.claim(1)
        _ = lane.next()
        lane.claim(2)
        #expect(lane.bound(epoch: 100, replaced: lane.foreign) == [])
        _ = lane.next()
        #expect(
            lane.bound(epoch: 101, replaced: lane.route(1, epoch: 100).session) == [
                .announce(lane.socket(2)), .tell(lane.foreign),
            ]
        )
    }

    // Ours lost the key before its bind was answered: who has it knows of ours alone, and not of whom ours replaced.
    @Test func `the one replaced by a bind that lost the key meanwhile is told when a third one has it`() {
        var lane = KeyLaneTranscript()
        lane.claim(1)
        _ = lane.next()
        #expect(lane.closeOrder(counter: 1, .replaced) == [.close(lane.socket(1), .replaced)])
        lane.close(1)
        #expect(lane.bound(epoch: 100, replaced: lane.foreign) == [])
        #expect(lane.next() == .unbind(lane.mapping(1, epoch: 100)))
        lane.unbound(false)
        #expect(lane.next() == .find)
        #expect(lane.found(lane.foreignRoute(epoch: 101, counter: 77)) == [.tell(lane.foreign)])
        #expect(lane.lane.isEmpty)
    }

    @Test func `one that has its key back, or that nobody has replaced, is left alone`() {
        for found in [true, false] {
            var lane = KeyLaneTranscript()
            lane.claim(1)
            _ = lane.next()
            lane.close(1)
            _ = lane.bound(epoch: 100, replaced: lane.foreign)
            _ = lane.next()
            lane.unbound(false)
            #expect(lane.next() == .find)
            let route = lane.foreignRoute(epoch: 101, counter: lane.foreign.counter)
            #expect(lane.found(found ? route : nil) == [])
            #expect(lane.lane.isEmpty)
        }
    }

    @Test func `the one replaced before a claim was refused is told when a third one has the key`() {
        var lane = KeyLaneTranscript()
        lane.claim(1)
        _ = lane.next()
        lane.claim(2)
        #expect(lane.bound(epoch: 100, replaced: lane.foreign) == [])
        _ = lane.next()
        #expect(lane.refusedBind() == [.close(lane.socket(2), .replaced)])
        #expect(lane.next() == .find)
        #expect(lane.found(lane.foreignRoute(epoch: 101, counter: 77)) == [.tell(lane.foreign)])
    }

    @Test func `a session of a user who has too many is turned away, and nothing is left to take out`() {
        var lane = KeyLaneTranscript()
        lane.claim(1)
        _ = lane.next()
        #expect(lane.fullBind() == [.close(lane.socket(1), .tooManyConnections)])
        lane.close(1)
        #expect(lane.next() == nil)
        #expect(lane.lane.isEmpty)
    }

    @Test func `whom a bind evicted is told, also when nobody wants the bind any more`() {
        var lane = KeyLaneTranscript()
        let other = lane.foreignRoute(epoch: 90)
        lane.claim(1)
        _ = lane.next()
        lane.claim(2)
        #expect(lane.bound(epoch: 100, evicted: [other]) == [.evict(other)])
    }

    @Test func `a session that is evicted before its own bind is answered is closed, and nothing is left`() {
        var lane = KeyLaneTranscript()
        lane.claim(1)
        _ = lane.next()
        #expect(lane.evict(counter: 1) == [.close(lane.socket(1), .tooManyConnections)])
        lane.close(1)
        #expect(lane.bound(epoch: 100) == [])
        #expect(lane.next() == .unbind(lane.mapping(1, epoch: 100)))
        lane.unbound(false)
        #expect(lane.lane.isEmpty)
    }

    @Test func `an evicted session closes without an unbind; an older order does not reach the newer one`() {
        var lane = KeyLaneTranscript.live(1, epoch: 100)
        #expect(lane.evict(counter: 9) == [])
        #expect(lane.evict(counter: 1) == [.close(lane.socket(1), .tooManyConnections)])
        #expect(lane.close(1) == [])
        #expect(lane.next() == nil)
        #expect(lane.lane.isEmpty)
    }

    @Test func `why a session ended goes with its unbind`() {
        var lane = KeyLaneTranscript.live(1, epoch: 100)
        lane.close(1, for: .timeout)
        #expect(lane.next() == .unbind(lane.mapping(1, epoch: 100)))
        #expect(lane.lane.residue?.reason == .timeout)
    }

    @Test func `a newer session is announced only when the older one has closed`() {
        var lane = KeyLaneTranscript.live(1, epoch: 100)
        #expect(lane.claim(2) == [])
        #expect(lane.next() == .bind(lane.session(2), lane.incarnation))
        #expect(lane.bound(epoch: 200) == [.close(lane.socket(1), .replaced)])
        #expect(!lane.lane.isSettled(at: lane.now))
        #expect(lane.close(1) == [.announce(lane.socket(2))])
        #expect(lane.next() == nil)
        #expect(lane.lane.isSettled(at: lane.now))
    }

    @Test func `the older session stays while the newer one cannot be bound`() {
        var lane = KeyLaneTranscript.live(1, epoch: 100)
        lane.claim(2)
        _ = lane.next()
        lane.fail()
        lane.wait(.seconds(5))
        #expect(lane.passed() == [.close(lane.socket(2), .routeUnavailable)])
        #expect(lane.lane.holder?.session == lane.session(1))
        // The bind without an answer may stand.
        #expect(lane.next() == .find)
        lane.found(lane.route(2, epoch: 200))
        #expect(lane.next() == .unbind(lane.mapping(2, epoch: 200)))
        lane.unbound()
        #expect(lane.next() == .renew(lane.mapping(1, epoch: 100)))
        #expect(lane.renewed() == [])
        // Once the doubt is over it is looked at again.
        #expect(lane.next() == nil)
        lane.wait(.seconds(10))
        #expect(lane.next() == .find)
        lane.found(lane.route(1, epoch: 100))
        #expect(lane.next() == nil)
        #expect(lane.lane.isSettled(at: lane.now))
    }

    @Test func `of two that claim at once only the newer one goes on`() {
        var lane = KeyLaneTranscript()
        lane.claim(1)
        _ = lane.next()
        #expect(lane.claim(2) == [.close(lane.socket(1), .replaced)])
        #expect(lane.next() == nil)
        #expect(lane.bound(epoch: 100) == [])
        #expect(lane.next() == .bind(lane.session(2), lane.incarnation))
        lane.close(1)
        #expect(lane.bound(epoch: 101) == [.announce(lane.socket(2))])
        #expect(lane.next() == nil)
        #expect(lane.lane.isSettled(at: lane.now))
    }

    @Test func `a refused bind closes the newcomer and the ghost before it`() {
        var lane = KeyLaneTranscript.live(1, epoch: 100)
        lane.claim(2)
        _ = lane.next()
        #expect(
            lane.refusedBind() == [.close(lane.socket(2), .replaced), .close(lane.socket(1), .replaced)]
        )
        lane.close(2)
        lane.close(1)
        #expect(lane.next() == nil)
        #expect(lane.lane.isEmpty)
    }

    @Test func `a refused renewal closes the ghost, and there is nothing to unbind`() {
        var lane = KeyLaneTranscript.live(1, epoch: 100)
        lane.lane.renewalDue()
        #expect(lane.next() == .renew(lane.mapping(1, epoch: 100)))
        #expect(lane.refusedRenewal() == [.close(lane.socket(1), .replaced)])
        lane.close(1)
        #expect(lane.next() == nil)
        #expect(lane.lane.isEmpty)
    }

    @Test func `a refusal in doubt is looked into first`() {
        var lane = KeyLaneTranscript.live(1, epoch: 100)
        lane.lane.renewalDue()
        _ = lane.next()
        lane.fail()
        _ = lane.next()
        #expect(lane.refusedRenewal() == [])
        #expect(lane.next() == .find)
        #expect(lane.found(lane.foreignRoute(epoch: 300)) == [.close(lane.socket(1), .replaced)])
    }

    @Test func `an unbind waits for the renewal under way`() {
        var lane = KeyLaneTranscript.live(1, epoch: 100)
        lane.lane.renewalDue()
        _ = lane.next()
        lane.close(1)
        #expect(lane.next() == nil)
        #expect(lane.renewed() == [])
        #expect(lane.next() == .unbind(lane.mapping(1, epoch: 100)))
    }

    @Test func `after a renewal without an answer the key is looked at once more`() {
        var lane = KeyLaneTranscript.live(1, epoch: 100)
        lane.lane.renewalDue()
        _ = lane.next()
        lane.close(1)
        lane.fail()
        #expect(lane.next() == .unbind(lane.mapping(1, epoch: 100)))
        lane.unbound()
        #expect(!lane.lane.isEmpty)
        #expect(lane.next() == nil)
        lane.wait(.seconds(10))
        #expect(lane.next() == .find)
        lane.found(nil)
        #expect(lane.lane.isEmpty)
    }

    @Test func `an unbind is tried while Redis is away, and given up when the mapping has expired`() {
        var lane = KeyLaneTranscript.live(1, epoch: 100)
        lane.close(1)
        #expect(lane.next() == .unbind(lane.mapping(1, epoch: 100)))
        lane.fail()
        #expect(lane.next() == .unbind(lane.mapping(1, epoch: 100)))
        lane.fail()
        lane.wait(.seconds(120))
        #expect(lane.passed() == [])
        #expect(lane.lane.isEmpty)
    }

    @Test func `who cannot be written down is told to come back, and who is there stays`() {
        var lane = KeyLaneTranscript.live(1, epoch: 100)
        lane.claim(2)
        _ = lane.next()
        #expect(lane.unusableBind() == [.close(lane.socket(2), .routeUnavailable)])
        lane.close(2)
        #expect(lane.next() == nil)
        // A carry-over that cannot be written is not tried without a pause.
        lane.incarnation = Incarnation(8)
        #expect(lane.next() == .renew(lane.mapping(1, epoch: 100)))
        #expect(lane.unusableRenewal() == [])
        #expect(lane.next() == nil)
        #expect(lane.lane.isSettled(at: lane.now))
    }

    @Test func `a new incarnation carries the mapping over in one call, with the same epoch`() {
        var lane = KeyLaneTranscript.live(1, epoch: 100)
        lane.incarnation = Incarnation(8)
        #expect(lane.next() == .renew(lane.mapping(1, epoch: 100)))
        #expect(lane.renewed() == [])
        #expect(lane.lane.holder?.mapping == lane.mapping(1, epoch: 100))
        #expect(lane.next() == nil)
        #expect(lane.lane.isSettled(at: lane.now))
    }

    @Test func `a session that moved elsewhere meanwhile is closed by the new incarnation`() {
        var lane = KeyLaneTranscript.live(1, epoch: 100)
        lane.incarnation = Incarnation(8)
        _ = lane.next()
        #expect(lane.refusedRenewal() == [.close(lane.socket(1), .replaced)])
    }

    @Test func `without a lease nothing is asked`() {
        var lane = KeyLaneTranscript()
        lane.claim(1)
        #expect(lane.lane.nextCall(at: lane.now, incarnation: nil) == nil)
    }

    @Test func `a close order names one session or whoever holds the key`() {
        var lane = KeyLaneTranscript.live(1, epoch: 100)
        #expect(lane.closeOrder(counter: 7, .replaced) == [])
        #expect(lane.closeOrder(counter: 1, .replaced) == [.close(lane.socket(1), .replaced)])
        #expect(lane.closeOrder(counter: nil, .kicked) == [.close(lane.socket(1), .kicked)])
    }
}
