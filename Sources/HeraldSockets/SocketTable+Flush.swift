import Glibc

/// The only place that writes to sockets.
extension SocketTable {
    /// So many sockets are written in the order in which they lie in memory, ours and the kernel's: batches of pushes to
    /// 100 users drawn by chance are 8 % more each second.
    private static var sortedFrom: Int { 32 }

    /// Writes what the turn has queued: one call per socket, unless it is more than 64 frames.
    mutating func flushDirty() {
        if dirtyCount >= Self.sortedFrom {
            var slots = UnsafeMutableBufferPointer(start: dirty, count: dirtyCount)
            slots.sort()
        }
        // Flushing ends and blocks sockets but queues nothing, so the list does not grow meanwhile.
        for position in 0..<dirtyCount {
            let index = Int(dirty[position])
            slot(index).pointee.flags.remove(.isDirty)
            if slot(index).pointee.lifecycle.isConnected { flush(index) }
        }
        dirtyCount = 0
    }

    /// The kernel has room again.
    mutating func writable(_ index: Int) {
        // Room came from the peer's acknowledgements: it lives, however long its pong has to queue.
        slot(index).pointee.flags.remove([.isBlocked, .isPinged])
        flush(index)
        if slot(index).pointee.lifecycle.isConnected, !slot(index).pointee.flags.contains(.isBlocked) {
            updateInterest(index)
        }
    }

    mutating func flush(_ index: Int) {
        guard !slot(index).pointee.flags.contains(.isBlocked) else { return }
        while !slot(index).pointee.queue.isEmpty {
            let (count, bytes) = slot(index).pointee.queue.gather(into: vectors)
            let sent = write(index, vectors: count)
            counters.writes += 1
            guard sent >= 0 else {
                if errno == EINTR { continue }
                if errno == EAGAIN { return block(index) }
                return end(index, .disconnected)
            }
            taken(index, sent)
            // OpenSSL takes a record at a time, and says itself when the kernel takes no more.
            if sent < bytes, tls == nil { return block(index) }
        }
        slot(index).pointee.pongBytes = 0
        switch slot(index).pointee.lifecycle.flushed() {
        case .nothing: break
        case .shutDownWriting where slot(index).pointee.flags.contains(.isFinished):
            end(index, .disconnected)
        case .shutDownWriting:
            tls?.finishWriting(index)
            shutdown(slot(index).pointee.descriptor, Int32(SHUT_WR))
        case .end: end(index, .disconnected)
        }
    }

    /// MSG_NOSIGNAL: a peer that is gone is an error code here and not a SIGPIPE for the process.
    private func write(_ index: Int, vectors count: Int) -> Int {
        if tls != nil { return writeEncrypted(index, vectors: count) }
        let descriptor = slot(index).pointee.descriptor
        let flags = Int32(MSG_NOSIGNAL)
        if count == 1 { return Glibc.send(descriptor, vectors[0].iov_base, vectors[0].iov_len, flags) }
        var message = msghdr()
        message.msg_iov = vectors.baseAddress
        message.msg_iovlen = count
        return sendmsg(descriptor, &message, flags)
    }

    /// Says what OpenSSL says as send(2) would: -1 with an errno.
    private func writeEncrypted(_ index: Int, vectors count: Int) -> Int {
        switch tls?.write(index, UnsafeBufferPointer(rebasing: vectors[..<count])) {
        case .bytes(let count): return count
        case .wantsWrite: errno = EAGAIN
        // Nothing is written before the handshake, and TLS has no other reason to wait for the peer.
        case .wantsRead, .ended, .none: errno = EPIPE
        }
        return -1
    }

    private mutating func taken(_ index: Int, _ bytes: Int) {
        counters.bytesOut += UInt64(bytes)
        queuedBytes -= slot(index).pointee.queue.heldBytes
        let receipts = slot(index).pointee.queue.consume(bytes)
        if receipts > 0 { written.append(Written(id: slot(index).pointee.id, count: receipts)) }
        queuedBytes += slot(index).pointee.queue.heldBytes
    }

    mutating func block(_ index: Int) {
        slot(index).pointee.flags.insert(.isBlocked)
        updateInterest(index)
    }

    func updateInterest(_ index: Int) {
        epoll.change(
            slot(index).pointee.descriptor,
            slot(index).pointee.interest,
            id: slot(index).pointee.id.rawValue
        )
    }

    /// Closes the largest queues until `excessBytes` are freed.
    ///
    /// A frame that the peer has begun to see has to be sent whole before goodbye can be said. Where that is most of
    /// what is held, keeping it for as long as a close may take would cost others their place: such a socket ends.
    mutating func shed(excessBytes: Int) {
        var candidates: [(held: Int, index: Int)] = []
        for index in 0..<slotsUsed
        where slot(index).pointee.lifecycle == .open && !slot(index).pointee.queue.isEmpty {
            candidates.append((slot(index).pointee.queue.heldBytes, index))
        }
        candidates.sort { $0.held > $1.held }
        var freed = 0
        for candidate in candidates where freed < excessBytes {
            cut(candidate.index, cause: .shed)
            if slot(candidate.index).pointee.queue.heldBytes > candidate.held / 2 {
                end(candidate.index, .shed)
            }
            freed += candidate.held - slot(candidate.index).pointee.queue.heldBytes
        }
    }
}
