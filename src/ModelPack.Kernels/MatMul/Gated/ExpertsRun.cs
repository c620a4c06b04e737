using System.Numerics;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// A mixture of experts: y[t] = sum over experts e of shares[t, e] expert_e(x[t]), experts being gated perceptrons of one size of which only those whose share is not 0 are visited. <see cref="Group"/> sorts rows by expert; then, for
/// some batches at a time (<see cref="Place"/>), threads share <see cref="Prepare"/>, then <see cref="Hidden"/>, then <see cref="Finish"/>, then <see cref="Down"/>. A row adds its experts in ascending order, each in the same batch
/// of rows however the work is divided: the result is the same, bit for bit.
/// </summary>
public sealed unsafe class ExpertsRun : IDisposable
{
    private const int Step = GatedMlpRun.Step;

    private readonly GatedMlpRun[] _experts;

    /// <param name="experts">The experts, which fit each other.</param>
    public ExpertsRun(IReadOnlyList<GatedMlpRun> experts)
    {
        _experts = [.. experts];
    }

    /// <summary>Columns of x.</summary>
    public int Inputs => _experts[0].Inputs;

    /// <summary>Columns of the result.</summary>
    public int Outputs => _experts[0].Outputs;

    /// <summary>Number of experts.</summary>
    public int Count => _experts.Length;

    /// <summary>Whether perceptrons may be experts of one layer.</summary>
    public static bool Fits(IReadOnlyList<GatedMlpRun> experts) => experts.Count > 0 && experts.All(e => e.CanBeExpert && e.Inputs == experts[0].Inputs && e.Outputs == experts[0].Outputs);

    /// <summary>How many shares are not 0.</summary>
    /// <param name="shares">[rows, columns].</param>
    /// <param name="columns">Columns, of which the first are those of the experts.</param>
    /// <param name="rows">Rows.</param>
    public long Chosen(float* shares, long columns, long rows)
    {
        long chosen = 0;
        for (long row = 0; row < rows; row++, shares += columns)
        {
            foreach (float share in new Span<float>(shares, Count))
            {
                chosen += share != 0 ? 1 : 0;
            }
        }

        return chosen;
    }

    /// <summary>Bytes of memory that <see cref="Group"/> writes to, with so many shares that are not 0.</summary>
    public long GroupBytes(long chosen) =>
        (MostBatches(chosen) * sizeof(ExpertBatch)) + (chosen * (sizeof(int) + sizeof(float))) + ((long)Count * sizeof(int));

    /// <summary>Sorts rows by expert.</summary>
    /// <param name="shares">[rows, columns].</param>
    /// <param name="columns">Columns, of which the first are those of the experts.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="chosen">As of <see cref="Chosen"/>.</param>
    /// <param name="memory"><see cref="GroupBytes"/> bytes, kept until everything is done: the batches, in the order of experts, then of rows.</param>
    /// <returns>Number of batches.</returns>
    public int Group(float* shares, long columns, int rows, long chosen, void* memory)
    {
        var batches = (ExpertBatch*)memory;
        float* weights = (float*)(batches + MostBatches(chosen));
        int* places = (int*)(weights + chosen);
        int* ends = places + chosen;
        new Span<int>(ends, Count).Clear();
        for (int row = 0; row < rows; row++)
        {
            for (int e = 0; e < Count; e++)
            {
                ends[e] += shares[(row * columns) + e] != 0 ? 1 : 0;
            }
        }

        int begun = 0;
        int made = 0;
        for (int e = 0; e < Count; e++)
        {
            for (int first = 0; first < ends[e]; first += MatMulRun.MaxRows)
            {
                batches[made++] = new ExpertBatch { Expert = e, Rows = Math.Min(MatMulRun.MaxRows, ends[e] - first), Places = places + begun + first, Shares = weights + begun + first };
            }

            (ends[e], begun) = (begun, begun + ends[e]);
        }

        for (int row = 0; row < rows; row++)
        {
            for (int e = 0; e < Count; e++)
            {
                float share = shares[(row * columns) + e];
                if (share != 0)
                {
                    places[ends[e]] = row;
                    weights[ends[e]++] = share;
                }
            }
        }

        return made;
    }

    /// <summary>Gives batches their places in scratch: as many as there is room for, and at least one.</summary>
    /// <param name="batches">The first of them.</param>
    /// <param name="count">How many are left.</param>
    /// <param name="mostBytes">Scratch for several.</param>
    /// <param name="bytes">Scratch for those that have a place.</param>
    /// <returns>Their number.</returns>
    public int Place(ExpertBatch* batches, int count, long mostBytes, out long bytes)
    {
        bytes = 0;
        int parts = 0;
        for (int i = 0; i < count; i++)
        {
            ref ExpertBatch batch = ref batches[i];
            GatedMlpRun expert = _experts[batch.Expert];

            // A row alone goes to several experts in the same form.
            bool same = i > 0 && batch.Rows == 1 && batches[i - 1].Rows == 1 && batch.Places[0] == batches[i - 1].Places[0] && expert.PreparesAs(_experts[batches[i - 1].Expert]);
            long inputs = same ? 0 : expert.InputBytes(batch.Rows);
            long hidden = expert.HiddenBytes(batch.Rows);
            if (i > 0 && bytes + inputs + hidden > mostBytes)
            {
                return i;
            }

            // Offsets until there is memory.
            batch.OwnsInputs = !same;
            batch.Inputs = same ? batches[i - 1].Inputs : (byte*)bytes;
            batch.Hidden = (byte*)(bytes + inputs);
            batch.FirstPart = parts;
            bytes += inputs + hidden;
            parts += expert.HiddenParts(batch.Rows);
        }

        return count;
    }

    /// <summary>The same batches, in memory.</summary>
    /// <param name="batches">The first of those that have a place.</param>
    /// <param name="count">Their number.</param>
    /// <param name="scratch">So many bytes at a multiple of 64, kept until everything is done.</param>
    public static void Locate(ExpertBatch* batches, int count, byte* scratch)
    {
        for (int i = 0; i < count; i++)
        {
            batches[i].Inputs = scratch + (long)batches[i].Inputs;
            batches[i].Hidden = scratch + (long)batches[i].Hidden;
        }
    }

    /// <summary>Brings the rows of a batch into the form that kernels read.</summary>
    /// <param name="batch">The batch.</param>
    /// <param name="x">[rows, inputs], all of them.</param>
    /// <param name="shared">Whether other threads do the rest.</param>
    public void Prepare(ExpertBatch* batch, float* x, bool shared)
    {
        GatedMlpRun expert = _experts[batch->Expert];
        expert.PrepareHidden(batch->Rows, batch->Hidden);
        if (!batch->OwnsInputs)
        {
            return;
        }

        float* own = x + ((long)batch->Places[0] * Inputs);
        if (batch->Places[batch->Rows - 1] - batch->Places[0] >= batch->Rows)
        {
            own = (float*)ThreadScratch.Get(ScratchUse.Hidden, (long)batch->Rows * Inputs * sizeof(float));
            for (int r = 0; r < batch->Rows; r++)
            {
                new ReadOnlySpan<float>(x + ((long)batch->Places[r] * Inputs), Inputs).CopyTo(new Span<float>(own + ((long)r * Inputs), Inputs));
            }
        }

        expert.PrepareInputs(own, batch->Rows, batch->Inputs, shared);
    }

    /// <summary>Parts of the work on what lies between the first products and the last.</summary>
    public int HiddenParts(ExpertBatch* batches, int count) => batches[count - 1].FirstPart + _experts[batches[count - 1].Expert].HiddenParts(batches[count - 1].Rows);

    /// <summary>Multiplications of that work.</summary>
    public double HiddenMultiplications(ExpertBatch* batches, int count)
    {
        double sum = 0;
        for (int i = 0; i < count; i++)
        {
            sum += _experts[batches[i].Expert].HiddenMultiplications * batches[i].Rows;
        }

        return sum;
    }

    /// <summary>Does some of it.</summary>
    /// <param name="batches">Batches, prepared.</param>
    /// <param name="count">Their number.</param>
    /// <param name="tiles">Execution layouts of the weights: gate, up and down of each expert.</param>
    /// <param name="first">First part.</param>
    /// <param name="parts">Number of parts.</param>
    /// <param name="shared">Whether other threads read it.</param>
    public void Hidden(ExpertBatch* batches, int count, nint* tiles, int first, int parts, bool shared)
    {
        int at = 0;
        for (int end = first + parts; first < end; at++)
        {
            int next = at + 1 < count ? batches[at + 1].FirstPart : int.MaxValue;
            if (next <= first)
            {
                continue;
            }

            ref ExpertBatch batch = ref batches[at];
            byte** weights = (byte**)(tiles + (3 * batch.Expert));
            int some = Math.Min(end, next) - first;
            _experts[batch.Expert].Hidden(weights[0], weights[1], batch.Inputs, (float*)batch.Hidden, batch.Rows, first - batch.FirstPart, some, shared);
            first += some;
        }
    }

    /// <summary>Brings what lies between into the form that the last products read.</summary>
    public void Finish(ExpertBatch* batch, bool shared) => _experts[batch->Expert].FinishHidden(batch->Hidden, batch->Rows, shared);

    /// <summary>Parts of the work on the last products: some columns of the result, of all batches.</summary>
    public int DownParts(ExpertBatch* batches, int count) => (Outputs + Width(batches, count) - 1) / Width(batches, count);

    /// <summary>Multiplications of the last products.</summary>
    public double DownMultiplications(ExpertBatch* batches, int count)
    {
        double sum = 0;
        for (int i = 0; i < count; i++)
        {
            sum += _experts[batches[i].Expert].DownMultiplications * batches[i].Rows;
        }

        return sum;
    }

    /// <summary>Adds some columns to the result.</summary>
    /// <param name="batches">Batches, finished.</param>
    /// <param name="count">Their number.</param>
    /// <param name="tiles">As of <see cref="Hidden"/>.</param>
    /// <param name="first">First part.</param>
    /// <param name="parts">Number of parts.</param>
    /// <param name="y">[rows, outputs].</param>
    public void Down(ExpertBatch* batches, int count, nint* tiles, int first, int parts, float* y)
    {
        int width = Width(batches, count);
        for (int part = first; part < first + parts; part++)
        {
            int start = part * width;
            int columns = Math.Min(width, Outputs - start);
            for (int i = 0; i < count; i++)
            {
                ref ExpertBatch batch = ref batches[i];
                float* own = (float*)ThreadScratch.Get(ScratchUse.Hidden, (long)batch.Rows * width * sizeof(float));
                _experts[batch.Expert].DownColumns((byte*)tiles[(3 * batch.Expert) + 2], batch.Hidden, batch.Rows, start, columns, new MatMulOutput(own, width, start, null));
                for (int r = 0; r < batch.Rows; r++)
                {
                    Add(own + ((long)r * width), batch.Shares[r], columns, y + ((long)batch.Places[r] * Outputs) + start);
                }
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (GatedMlpRun expert in _experts)
        {
            expert.Dispose();
        }
    }

    /// <summary>y[i] += share * values[i], in two roundings.</summary>
    private static void Add(float* values, float share, int count, float* y)
    {
        int i = 0;
        for (var factor = new Vector<float>(share); i <= count - Vector<float>.Count; i += Vector<float>.Count)
        {
            ((*(Vector<float>*)(values + i) * factor) + *(Vector<float>*)(y + i)).Store(y + i);
        }

        for (; i < count; i++)
        {
            y[i] += values[i] * share;
        }
    }

    /// <summary>Every expert that was chosen has a batch that is not full, at most.</summary>
    private long MostBatches(long chosen) => Math.Min(chosen, Count + (chosen / MatMulRun.MaxRows));

    /// <summary>Columns of a part: more of single rows, so that weights come from memory in long runs.</summary>
    private int Width(ExpertBatch* batches, int count)
    {
        for (int i = 0; i < count; i++)
        {
            if (batches[i].Rows > 1)
            {
                return Step;
            }
        }

        return Math.Max(1, Outputs / (GatedMlpRun.PartsOfRow * Step)) * Step;
    }
}
