import Foundation
import TensorFlowLite

struct Prediction {
    let scores: [Score]
    let unsure: Bool
    let preprocessingMs: Double
    let inferenceMs: Double
}

/// RGBA pixels, rows from the top, and the EXIF orientation that turns them upright.
struct Pixels {
    let rgba: [UInt8]
    let width: Int
    let height: Int
    var orientation = 1
}

/// The model: pixels in, classes with their probabilities out. Not for several threads at once.
final class Classifier {
    let description: ModelDescription
    private let preprocessing: Preprocessing
    private let interpreter: Interpreter

    init(bundle: Bundle = .main) throws {
        description = try JSONDecoder().decode(ModelDescription.self, from: load("model.json", bundle))
        preprocessing = Preprocessing(
            width: description.input.width, height: description.input.height, rule: description.resize)
        var options = Interpreter.Options()
        options.threadCount = 2
        options.isXNNPackEnabled = true
        interpreter = try Interpreter(modelPath: locate("model.tflite", bundle).path, options: options)
        try interpreter.allocateTensors()
    }

    func prepare(_ pixels: Pixels) -> [UInt8] {
        preprocessing.run(
            rgba: pixels.rgba, imageWidth: pixels.width, imageHeight: pixels.height,
            orientation: pixels.orientation)
    }

    /// The output as it is in the file.
    func run(_ bytes: [UInt8]) throws -> [UInt8] {
        try interpreter.copy(Data(bytes), toInputAt: 0)
        try interpreter.invoke()
        return try [UInt8](interpreter.output(at: 0).data)
    }

    func classify(_ pixels: Pixels) throws -> Prediction {
        let start = Date()
        let bytes = prepare(pixels)
        let prepared = Date()
        let raw = try run(bytes)
        let done = Date()
        let scores = decodeScores(raw, description)
        return Prediction(
            scores: scores,
            unsure: description.threshold.map { scores[0].probability < $0 } ?? false,
            preprocessingMs: 1000 * prepared.timeIntervalSince(start),
            inferenceMs: 1000 * done.timeIntervalSince(prepared))
    }
}

func locate(_ name: String, _ bundle: Bundle) throws -> URL {
    guard let url = bundle.url(forResource: name, withExtension: nil) else {
        throw CocoaError(.fileNoSuchFile, userInfo: [NSFilePathErrorKey: name])
    }
    return url
}

func load(_ name: String, _ bundle: Bundle) throws -> Data {
    try Data(contentsOf: locate(name, bundle))
}
