import AVFoundation
import PhotosUI
import SwiftUI

private let shownClasses = 5

struct ContentView: View {
    @StateObject private var screen = Screen()
    @State private var picked: PhotosPickerItem?

    var body: some View {
        ScrollView {
            VStack(alignment: .leading, spacing: 16) {
                if screen.running {
                    CameraPreview(session: screen.camera.session)
                        .aspectRatio(3 / 4, contentMode: .fit)
                        .clipShape(RoundedRectangle(cornerRadius: 12))
                        .accessibilityLabel("Camera")
                }
                HStack {
                    Button(screen.running ? "Stop camera" : "Start camera") {
                        Task { await screen.toggleCamera() }
                    }
                    .buttonStyle(.borderedProminent)
                    PhotosPicker("Pick an image", selection: $picked, matching: .images)
                        .buttonStyle(.bordered)
                }
                .disabled(!screen.ready)
                if !screen.message.isEmpty { Text(screen.message) }
                if let prediction = screen.prediction { PredictionView(prediction: prediction) }
                Text(screen.status)
                    .font(.footnote)
                    .foregroundStyle(screen.failed ? Color.red : Color.secondary)
            }
            .padding()
        }
        .onChange(of: picked) { item in
            if let item { Task { await screen.classify(item) } }
        }
    }
}

private struct PredictionView: View {
    let prediction: Prediction

    var body: some View {
        let best = prediction.scores[0].name
        Text(prediction.unsure ? "Unsure, perhaps \(best)" : best).font(.title2.bold())
        ForEach(prediction.scores.prefix(shownClasses)) { score in
            VStack(alignment: .leading, spacing: 4) {
                HStack {
                    Text(score.name)
                    Spacer()
                    Text(score.probability, format: .percent.precision(.fractionLength(0...1)))
                        .monospacedDigit()
                        .foregroundStyle(.secondary)
                }
                ProgressView(value: min(1, max(0, score.probability)))
            }
            .accessibilityElement(children: .combine)
        }
        Text(String(
            format: "%.1f ms preprocessing, %.1f ms model", prediction.preprocessingMs, prediction.inferenceMs))
            .font(.footnote)
            .foregroundStyle(.secondary)
    }
}

private struct CameraPreview: UIViewRepresentable {
    let session: AVCaptureSession

    final class Preview: UIView {
        override class var layerClass: AnyClass { AVCaptureVideoPreviewLayer.self }
    }

    func makeUIView(context _: Context) -> Preview {
        let view = Preview()
        let layer = view.layer as? AVCaptureVideoPreviewLayer
        layer?.session = session
        layer?.videoGravity = .resizeAspectFill
        return view
    }

    func updateUIView(_: Preview, context _: Context) {}
}
