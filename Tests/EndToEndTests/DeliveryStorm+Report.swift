import HeraldTesting
import Testing

extension DeliveryStorm.Report {
    /// Notes the figures, and expects that nothing is wrong.
    func judge(_ what: String) {
        Figures.note(
            """
            \(what): \(Int(pushesPerSecond)) pushes/s for \(Int(lasted / .seconds(1))) s, \(connects) connects; \
            \(judgement.summary); all had the last push after \(settled)
            """
        )
        let wrongs = judgement.wrongs.prefix(20).map(\.description).joined(separator: "\n")
        #expect(judgement.wrongs.isEmpty, "\(judgement.counts)\n\(wrongs)")
        #expect(judgement.shown > 0)
    }

    /// Redis lost nothing, so nobody has to be told of a loss.
    func expectUnbroken() {
        #expect(lostByRedis == 0)
        #expect(judgement.tellings == 0 && judgement.told == 0)
    }
}
