package androidx.compose.ui.viewinterop

import android.content.Context
import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier

@Composable
fun <T> AndroidView(factory: (Context) -> T, modifier: Modifier = Modifier) {}
