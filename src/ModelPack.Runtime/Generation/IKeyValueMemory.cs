using Microsoft.ML.OnnxRuntime;

namespace ModelPack.Runtime.Generation;

/// <summary>Memory for the keys or the values of one layer of a sequence, taken before they are there: what a run reads and where it writes.</summary>
internal interface IKeyValueMemory : IDisposable
{
    /// <summary>The input that reads it.</summary>
    string Name { get; }

    /// <summary>Bytes that are taken.</summary>
    long AllocatedBytes { get; }

    /// <summary>What a run reads; valid until the next <see cref="Prepare"/>.</summary>
    OrtValue Past { get; }

    /// <summary>Where it writes.</summary>
    OrtValue Present { get; }

    /// <summary>Makes room for a run.</summary>
    /// <param name="past">Tokens that are there.</param>
    /// <param name="total">Tokens there will be.</param>
    /// <param name="expected">Tokens there are going to be in the end, as far as is known.</param>
    /// <exception cref="OutOfMemoryException">There is not that much memory.</exception>
    void Prepare(long past, long total, long expected);

    /// <summary>A run has written: what it gave is what is there.</summary>
    void Advance();

    /// <summary>The next sequence begins.</summary>
    void Reset();
}
