import Foundation
import UIKit

private struct SelfTestDocument: Decodable {
    struct Image: Decodable {
        let name: String
        let png: Data
        let input: Data
        let output: [Int]
        let top: Int
    }

    let tolerance: Int
    let images: [Image]
}

/// Compare this device with the machine that made the app, image by image.
func runSelfTest(_ classifier: Classifier, bundle: Bundle = .main) throws -> (count: Int, faults: [String]) {
    let document = try JSONDecoder().decode(SelfTestDocument.self, from: load("selftest.json", bundle))
    var faults: [String] = []
    for image in document.images {
        guard let pixels = UIImage(data: image.png).flatMap(readPixels) else {
            faults.append("\(image.name): cannot be decoded")
            continue
        }
        let wrong = zip(classifier.prepare(pixels), image.input).filter { $0 != $1 }.count
        if wrong > 0 { faults.append("\(image.name): \(wrong) of \(image.input.count) bytes differ") }
        let output = try classifier.run([UInt8](image.input))
        let steps = zip(output, image.output).map { abs(Int($0) - $1) }.max() ?? 0
        if steps > document.tolerance {
            faults.append("\(image.name): the output is \(steps) steps off, \(document.tolerance) are allowed")
        } else if decodeScores(output, classifier.description)[0].id != image.top {
            faults.append("\(image.name): another class comes first")
        }
    }
    return (document.images.count, faults)
}
