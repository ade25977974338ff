package androidx.compose.foundation.layout

import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier
import androidx.compose.ui.unit.Dp

object Arrangement {
    class Spaced
    fun spacedBy(space: Dp) = Spaced()
}

@Composable
fun Column(
    modifier: Modifier = Modifier, verticalArrangement: Arrangement.Spaced, content: @Composable () -> Unit,
) = content()

@Composable
fun Row(
    modifier: Modifier = Modifier, horizontalArrangement: Arrangement.Spaced, content: @Composable () -> Unit,
) = content()

fun Modifier.aspectRatio(ratio: Float): Modifier = this
fun Modifier.fillMaxSize(): Modifier = this
fun Modifier.fillMaxWidth(): Modifier = this
fun Modifier.padding(all: Dp): Modifier = this
fun Modifier.safeDrawingPadding(): Modifier = this
