import HeraldCore
import Testing

struct CloseCodeTests {
    @Test func `the range of a code says whether to come back`() {
        for code in CloseCode.table where code.number >= 4000 {
            #expect(code.invitesBack == (code.number < 4500), "\(code)")
        }
        #expect(CloseCode.goingAway.invitesBack)
        #expect(!CloseCode.messageTooBig.invitesBack)
        #expect(CloseCode(number: 1006).invitesBack)
    }

    @Test func `the table is in order, without repeats, and every reason fits a close frame`() {
        let numbers = CloseCode.table.map(\.number)
        #expect(numbers == Array(Set(numbers)).sorted())
        #expect(CloseCode.table.allSatisfy { $0.reason.utf8.count <= 123 && !$0.reason.isEmpty })
        #expect(CloseCode(number: 4501) == .replaced)
        #expect(CloseCode(number: 4999).reason.isEmpty)
    }
}
