namespace ModelPack.Toolchain;

/// <summary>What products of many rows take, in three parts: (outputs x inputs x <paramref name="Multiplication"/> + inputs x <paramref name="Activation"/> + outputs x <paramref name="Output"/>) x rows.</summary>
/// <param name="Multiplication">Nanoseconds of a multiplication.</param>
/// <param name="Activation">Nanoseconds of a value of the activations.</param>
/// <param name="Output">Nanoseconds of a value of the result.</param>
internal readonly record struct BatchTimes(double Multiplication, double Activation, double Output)
{
    /// <summary>The parts of three measurements. Where one would be less than nothing, by noise, it is nothing, and the others are those of two measurements.</summary>
    /// <param name="usual">Of a product with many outputs and inputs.</param>
    /// <param name="fewOutputs">Of one with as many inputs, and fewer outputs.</param>
    /// <param name="fewInputs">Of one with few inputs.</param>
    public static BatchTimes Of(BatchMeasurement usual, BatchMeasurement fewOutputs, BatchMeasurement fewInputs)
    {
        // Measurements are linear in the three: eliminate activations of the first two, which have as many, then outputs.
        double weights = usual.Outputs - fewOutputs.Outputs;
        double difference = (usual.Row - fewOutputs.Row) / weights;
        double ratio = fewInputs.Inputs / (double)usual.Inputs;
        double third = fewInputs.Row - (ratio * fewOutputs.Row);

        // difference = inputs b + o; third = few inputs (many - few outputs) b + (many outputs - ratio x few outputs) o
        double outputs = fewInputs.Outputs - (ratio * fewOutputs.Outputs);
        double places = fewInputs.Inputs * (double)(fewInputs.Outputs - fewOutputs.Outputs);
        double multiplication = ((outputs * difference) - third) / ((outputs * usual.Inputs) - places);
        double output = difference - (usual.Inputs * multiplication);
        if (output < 0)
        {
            output = 0;
            multiplication = difference / usual.Inputs;
        }

        double activation = (usual.Row - (usual.Outputs * (usual.Inputs * multiplication)) - (usual.Outputs * output)) / usual.Inputs;
        if (activation < 0)
        {
            // usual = outputs inputs b + outputs o; few inputs likewise.
            activation = 0;
            double perOutput = usual.Row / usual.Outputs;
            multiplication = (perOutput - (fewInputs.Row / fewInputs.Outputs)) / (usual.Inputs - fewInputs.Inputs);
            output = perOutput - (usual.Inputs * multiplication);
        }

        return output >= 0 && multiplication >= 0 ? new BatchTimes(multiplication, activation, output) : new BatchTimes(usual.Row / usual.Outputs / usual.Inputs, 0, 0);
    }
}

/// <summary>A measured product of many rows.</summary>
/// <param name="Outputs">Rows of the weight.</param>
/// <param name="Inputs">Its columns.</param>
/// <param name="Row">Nanoseconds for each row of activations.</param>
internal readonly record struct BatchMeasurement(int Outputs, int Inputs, double Row);
