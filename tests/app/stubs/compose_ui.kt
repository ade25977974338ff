package androidx.compose.ui

open class Modifier {
    companion object : Modifier()
}
