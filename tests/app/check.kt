// Run beside an app's Kotlin: prints what a known output means, then a hash for each line of input.
package app

fun main() {
    PreprocessingTest().everyVectorGivesItsBytes()
    val model = ModelDescription(
        "m", 1, 1, ResizeRule.CROP, listOf("a", "b", "c"), 1.0 / 256, 0, false, 0.9)
    val scores = decodeScores(byteArrayOf(10, -128, 118), model)
    println(scores.joinToString { "${it.name} ${it.probability}" } + " " + isUnsure(scores, model))
    for (line in generateSequence(::readLine)) {
        val (file, width, height, inputWidth, inputHeight) = line.split("\t")
        val (rule, orientation) = line.split("\t").drop(5)
        val rgba = java.io.File(file).readBytes()
        fun byte(i: Int) = rgba[i].toInt() and 255
        val pixels = IntArray(width.toInt() * height.toInt()) {
            (byte(4 * it) shl 16) or (byte(4 * it + 1) shl 8) or byte(4 * it + 2)
        }
        val resize = ResizeRule.valueOf(rule.uppercase())
        val preprocessing = Preprocessing(inputWidth.toInt(), inputHeight.toInt(), resize)
        val hashes = List(2) { // the second time in buffers that are not new
            val bytes =
                preprocessing.run(pixels, width.toInt(), height.toInt(), orientation.toInt())
            val hash = java.security.MessageDigest.getInstance("SHA-256").digest(bytes)
            hash.joinToString("") { "%02x".format(it) }
        }
        println(hashes.distinct().single())
    }
}
