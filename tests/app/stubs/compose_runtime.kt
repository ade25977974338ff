package androidx.compose.runtime

@Target(AnnotationTarget.FUNCTION, AnnotationTarget.TYPE, AnnotationTarget.PROPERTY_GETTER)
annotation class Composable

class MutableState<T>(var value: T)

fun <T> mutableStateOf(value: T) = MutableState(value)
